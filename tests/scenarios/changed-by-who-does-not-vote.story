# Two voters have lost their disks. One of them is asked to replace the other: it carries the change through, though it has
# no vote itself (seed 10).
mesh 7 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

wipe a1
wipe a7
run 5s
voters a1 replace a7 a7
until voters 3 within 60s
----
  100.000 a1    loses its disk (and a7)
  100.000 a1    is killed (and a7)
  100.000 a1    abstains: hears no majority of voters (and a7)
  100.999 a7    abstains: stands by to become a voter (and a1)
  101.000 a7    learns blog epoch 1 idle at 5.41cd: apply, active east (its first definition) (and a1)
  105.000 a1    changes the voters: replace the store of a7, for operator
  105.114 *     voters version 2, two sets: without a7 (988b0405) with a7 (064c22c8)
  105.152 a1    goes by voters version 2: replace the store of a7, for operator (and a4 a7 a3 a6 a2 a5)
  105.228 a1    changes the voters: carries 1 registers over
  116.117 *     voters version 3, one set: a1 a2 a3 a4 a5 a6 a7

# The other one's turn.
run 5s
voters a7 replace a1 a1
until voters 5 within 60s
state
----
  116.155 a1    goes by voters version 3: done: replace the store of a7, for operator (and a4 a7 a3 a6 a2 a5)
  121.117 a7    changes the voters: replace the store of a1, for operator
  121.168 *     voters version 4, two sets: without a1 (3817eddd) with a1 (dcb0c4b1)
  121.185 a7    goes by voters version 4: replace the store of a1, for operator (and a1 a4 a3 a6 a2 a5)
  121.219 a7    changes the voters: carries 1 registers over
  132.047 *     voters version 5, one set: a1 a2 a3 a4 a5 a6 a7
blog: epoch 1 apply idle, active east
