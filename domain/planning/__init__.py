"""Who brings what, and when: plans of stops for every rider, improved at each tick.

Pure rules on numbers in minutes. What a tick decides is in `tick`; `search` and `standby` are
written on flat arrays, so that `services.dispatch.kernel` can compile the very same text.
"""
