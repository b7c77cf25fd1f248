"""One seed, one run: the product's own protocol core, journal and trading step under simulated faults.

world     the nodes, their disks and stores, and one clock for all
gateway   the gateway on a simulated disk: accepts, syncs, dispatches, answers
clients   post events and repeat them until they are answered
faults    what goes wrong, and when
ledger    what the journal has promised, and whether an opened one keeps it
checks    what must hold at every step and at the end
rules     the code with one rule taken out, to see that the checks find it
story     the last things that happened, for a seed that fails
"""
