"""The commands: what is typed, and what is printed. What they do lies beside this folder.

| command                                                     | work                               |
|-------------------------------------------------------------|------------------------------------|
| demo                                                        | demonstration                      |
| import                                                      | importer, formats, tally, waiting  |
| get, search, timeline, on-this-day (`read`)                 | questions                          |
| add, update, delete (`write`)                               | changes                            |
| queue, dlq                                                  | backlog                            |
| bench                                                       | ops.bench                          |
| up, down, status, restart, logs, doctor, token (`platform`) | ops.local                          |
"""
