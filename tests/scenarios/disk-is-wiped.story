# A voter's disk is lost: its agent comes back with another store, and after a minute of silence the mesh replaces the lost
# one by itself.
mesh 5 voters 3 regions
app blog
start
----
blog: epoch 1 apply idle, active east

wipe a3
run 60s
----
  100.000 a3    loses its disk
  100.000 a3    is killed
  100.000 a3    abstains: hears no majority of voters
  101.000 a3    abstains: stands by to become a voter
  101.034 a3    learns blog epoch 1 idle at 4.41cd: apply, active east (its first definition)

until voters 3 within 60s
run 5s
state
----
  160.992 a2    changes the voters: replace the store of a3, which is lost (and a4)
  161.106 *     voters version 2, two sets: without a3 (fb7a1eed) with a3 (69ed192e)
  161.144 a2    goes by voters version 2: replace the store of a3, for the mesh itself (and a5 a3 a1 a4)
  161.220 a2    changes the voters: carries 1 registers over
  172.106 *     voters version 3, one set: a1 a2 a3 a4 a5
  172.144 a2    goes by voters version 3: done: replace the store of a3, for the mesh itself (and a5 a3 a1 a4)
blog: epoch 1 apply idle, active east

# A second one within ten minutes waits for people.
wipe a4
run 90s
voters a1 replace a4 a4
until voters 5 within 60s
----
  177.106 a4    loses its disk
  177.106 a4    is killed
  177.106 a4    abstains: hears no majority of voters
  178.106 a4    abstains: stands by to become a voter
  178.106 a4    goes by voters version 3: done: replace the store of a3, for the mesh itself
  178.106 a4    learns blog epoch 1 idle at 4.41cd: apply, active east (its first definition)
  267.106 a1    changes the voters: replace the store of a4, for operator
  267.220 *     voters version 4, two sets: without a4 (b3f8ea13) with a4 (afd925bd)
  267.258 a1    goes by voters version 4: replace the store of a4, for operator (and a4 a3 a2 a5)
  267.334 a1    changes the voters: carries 1 registers over
  278.166 *     voters version 5, one set: a1 a2 a3 a4 a5
