# One agent does not see the active stack: nothing moves, and it says why.
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

blind a1 blog east
run 60s
why a1 blog
why a2 blog
state
----
  109.084 a1    holds blog/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.084 a1    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
a1 on blog: east stands: 1 of 5 voters see it down, 3 are needed
a2 on blog: east stands: 1 of 5 voters see it down, 3 are needed
blog: epoch 1 apply idle, active east
