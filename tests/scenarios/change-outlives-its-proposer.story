# Whoever changes the voters dies at each step; somebody else carries it on.
mesh 5 voters 3 regions 2 standing-by
app shop database
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

# Two sets are in force, and only the proposer knows.
voters a1 replace a2 a6
until voters 2 within 10s
kill a1
until voters 3 within 60s
run 3s
----
  100.000 a1    changes the voters: replace a2 by a6, for operator
  100.051 *     voters version 2, two sets: without a2 (9d600a25) with a6 (7d935a79)
  100.051 a1    is killed (and a2)
  103.064 a2    goes by voters version 2: replace a2 by a6, for operator (and a4 a3 a7 a6 a5)
  106.995 a2    changes the voters: carries it on (and a4 a3)
  107.064 a2    changes the voters: carries 1 registers over (and a4 a3)
  114.064 a5    changes the voters: refuses 8.bfcd: both sets of voters stay for 1 s more (and a6)
  114.564 *     voters version 3, one set: a1 a3 a4 a5 a6
  114.564 a2    goes by voters version 3: done: replace a2 by a6, for operator (and a5 a3 a6 a4 a7)
  114.564 a2    does not vote again with this store: its store was replaced or removed by voters version 3

# In the middle of carrying the registers over.
restart a1
run 5s
voters a1 replace a4 a7
until voters 4 within 10s
run 0.06s
kill a1
until voters 5 within 60s
run 3s
----
  118.565 a1    goes by voters version 3: done: replace a2 by a6, for operator
  122.564 a1    changes the voters: replace a4 by a7, for operator
  122.678 *     voters version 4, two sets: without a4 (b3f8ea13) with a7 (988b0405)
  122.716 a1    goes by voters version 4: replace a4 by a7, for operator (and a4 a7 a3 a6 a2 a5)
  122.738 a1    is killed (and a4)
  126.003 a6    changes the voters: carries it on (and a5)
  126.037 a6    changes the voters: carries 1 registers over (and a5)
  134.253 *     voters version 5, one set: a1 a3 a5 a6 a7
  134.288 a5    goes by voters version 5: done: replace a4 by a7, for operator (and a2 a3 a6 a4 a7)
  134.326 a4    does not vote again with this store: its store was replaced or removed by voters version 5

# One set is in force again, and only the proposer knows.
restart a1 a2
run 5s
voters a1 add a2
until voters 7 within 30s
kill a1
run 5s
state
----
  138.254 a1    goes by voters version 5: done: replace a4 by a7, for operator
  142.253 a1    changes the voters: add a2, for operator
  142.305 *     voters version 6, two sets: with a2 (619c830e)
  142.322 a1    goes by voters version 6: add a2, for operator (and a4 a7 a3 a6 a2 a5)
  142.356 a1    changes the voters: carries 1 registers over
  153.308 *     voters version 7, one set: a1 a2 a3 a5 a6 a7
  153.308 a1    is killed
  156.662 a2    goes by voters version 7: done: add a2, for operator (and a5 a7 a4 a6 a3)
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams
