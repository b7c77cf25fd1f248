"""Links between stages: the delivery protocol as a pure core, ZeroMQ at its edge, a network in memory.

wire          messages and frames            dispatcher   gateway: sends until settled
downlinks     a sender's sessions, credit    worker       agent, exec: steps keys in order
uplinks       a receiver's sessions          judge        audit: settles or refuses rows
questions     STATE?                         memory       all of it in one thread, no sockets
rendezvous    key → worker                   loop, aio    all of it on ZeroMQ
"""
