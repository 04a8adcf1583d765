"""Something is broken on purpose, under load, while clients keep account of every memory. Where to look:

What is shown
    hypotheses  one file a drill: given, when, then; `registry` is the table of them
    hypothesis  the limits and the sentence made from them; `drill` what a drill is, as data
    faults      what is done to a platform, and how each shows that it was done
    record      what a drill prints; `report` writes docs/drills.md from records

Who counts, each pure
    journal     what clients sent and were told
    checker     compares it with what is there
    measure     gaps, outages and latencies from the log of calls

What happens
    stage       a platform for several drills; `scene` is what one drill sees of it
    course      load, 5 s before, the fault, the recovery, 5 s after, the reckoning
    load        calls at a given rate, by `people`; `readback` reads everything back
    watch       when the platform noticed
    sabotage    damages one thing behind the checker's back: each checker is checked
"""
