# No voter sees the active stack, and a crowd of observers does: it is the voters that are in the wrong place.
mesh 5 voters 3 regions 12 observers
app blog
start
----
blog: epoch 1 apply idle, active east

blind a1 a2 a3 a4 a5 blog east
run 60s
why a1 blog
state
----
  109.815 a4    holds blog/east for standing: 1 of 5 voters see it down (and a1 a12 a15 a6 a9 a11 a14 a17 a3 a8 a10 a13 a16 a2 a5 a7)
  109.815 a4    leaves blog alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a12 a15 a6 a9 a11 a14 a17 a3 a8 a10 a13 a16 a2 a5 a7)
  110.053 a5    holds blog/east for standing: 2 of 5 voters see it down (and a10 a13 a16 a2 a7 a1 a12 a15 a4 a6 a9 a11 a14 a17 a3 a8)
  110.053 a5    leaves blog alone: east stands: 2 of 5 voters see it down, 3 are needed (and a10 a13 a16 a2 a7 a1 a12 a15 a4 a6 a9 a11 a14 a17 a3 a8)
  110.088 a11   holds blog/east for contested: 3 of 5 voters see it down (and a14 a17 a3 a8 a1 a12 a15 a4 a6 a9 a10 a13 a16 a2 a5 a7)
  110.088 a11   leaves blog alone: east is contested: 3 of 5 voters see it down, and 12 of 12 observers, in 3 regions, reach it (and a14 a17 a3 a8 a1 a12 a15 a4 a6 a9 a10 a13 a16 a2 a5 a7)
  110.529 a3    holds blog/east for contested: 4 of 5 voters see it down (and a11 a14 a17 a8 a1 a12 a15 a4 a6 a9 a10 a13 a16 a2 a5 a7)
  110.529 a3    leaves blog alone: east is contested: 4 of 5 voters see it down, and 12 of 12 observers, in 3 regions, reach it (and a11 a14 a17 a8 a1 a12 a15 a4 a6 a9 a10 a13 a16 a2 a5 a7)
  110.723 a2    holds blog/east for contested: 5 of 5 voters see it down (and a10 a13 a16 a5 a7 a11 a14 a17 a3 a8 a1 a12 a15 a4 a6 a9)
  110.723 a2    leaves blog alone: east is contested: 5 of 5 voters see it down, and 12 of 12 observers, in 3 regions, reach it (and a10 a13 a16 a5 a7 a11 a14 a17 a3 a8 a1 a12 a15 a4 a6 a9)
a1 on blog: east is contested: 5 of 5 voters see it down, and 12 of 12 observers, in 3 regions, reach it
blog: epoch 1 apply idle, active east
