"""A platform on this machine. Where to look:

From outside, by whoever handles one
    platform    `Platform`: start, look, hurt, mend, stop; `background` starts its supervisor's process
    zone        `Zone`: the same for all of a zone at once
    home        the directory that holds everything of one platform; `doctor` looks whether one would start
    observe     how it is, as a `status.Status`; `logs` what it wrote; `identity` tokens for it
    control     asks the supervisor to start, stop, restart or hold some; `record` is what it says of itself

Inside the supervisor's process (`__main__`, or `reverie up` itself), from the outermost in
    operate     from a home to a session: keys, certificates, `ports`, the topology
    session     one run: waits until calls go through, publishes where to call, stops at a signal
    supervisor  carries out what `lifecycle`, the pure state machine of all processes, decides
    spawn       makes a process that ends with its supervisor; `leftovers` ends what outlived one all the same

What runs
    plan        names, ports and topology, from the catalog, with `embedders` for a choice
    processes   the processes that follow from them; `process` is what one is, `probes` tell when it is
                ready, `draining` how an edge stops
    postgres    the stores, with `valkey`; `valkey_cluster` decides how its nodes become a cluster, `userns`
                runs stores as a user that is not root
    pki         the development authority, certificates, the key of tokens
    procfs      what the kernel says of processes
"""
