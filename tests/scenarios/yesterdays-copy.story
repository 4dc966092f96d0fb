# A voter's disk is copied, the voter goes on, and the copy is put in its place: others have heard of more.
mesh 3 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

copy a2
apply a1 blog ttl=20
run 20s
restore a2
run 10s
----
  100.000 a2    has its disk copied
  100.068 a1    learns blog epoch 2 publishing at 5.41cd: apply, active east (definition revision 2) (and a3 a2)
  100.198 a1    learns blog epoch 2 publishing at 6.41cd: apply, active east, carried out by a1 (definition revision 2) (and a3 a2)
  100.266 a1    learns blog epoch 2 verifying at 7.41cd: apply, active east, carried out by a1 (definition revision 2) (and a3 a2)
  100.334 a1    learns blog epoch 2 idle at 8.41cd: apply, active east (definition revision 2) (and a3 a2)
  120.000 a2    comes back from a copy of its disk
  120.000 a2    is killed
  121.069 a2    does not vote again with this store: its store is a copy from before: it holds 8 changes, and a3 has seen 16

until voters 3 within 90s
----
  156.677 a2    abstains: stands by to become a voter
  183.016 a3    changes the voters: replace the store of a2, which is lost (and a1)
  183.084 *     voters version 2, two sets: without a2 (9d600a25) with a2 (1843850f)
  183.101 a1    goes by voters version 2: replace the store of a2, for the mesh itself (and a3 a2)
  183.152 a3    changes the voters: carries 1 registers over
  194.068 *     voters version 3, one set: a1 a2 a3

run 5s
state
----
  194.085 a3    goes by voters version 3: done: replace the store of a2, for the mesh itself (and a1 a2)
blog: epoch 2 apply idle, active east
