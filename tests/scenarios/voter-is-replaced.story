# A voter gives way to another, while nothing is wrong.
mesh 5 voters 3 regions 1 standing-by
app shop database
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

voters a1 replace a2 a6
until voters 3 within 60s
run 5s
----
  100.000 a1    changes the voters: replace a2 by a6, for operator
  100.051 *     voters version 2, two sets: without a2 (9d600a25) with a6 (7d935a79)
  100.068 a1    goes by voters version 2: replace a2 by a6, for operator (and a4 a3 a6 a2 a5)
  100.102 a1    changes the voters: carries 1 registers over
  111.071 *     voters version 3, one set: a1 a3 a4 a5 a6
  111.088 a1    goes by voters version 3: done: replace a2 by a6, for operator (and a4 a3 a6 a2 a5)
  111.126 a2    does not vote again with this store: its store was replaced or removed by voters version 3
  111.126 a2    is killed

# The loss of two of the five is survived by the new set.
kill a1 a3
stack shop east dark
until shop settled within 120s
state
----
  116.071 a1    is killed (and a3)
  116.071 *     shop/east: web is Dark
  116.071 *     shop/east/db is Dark
  124.779 a5    holds shop/east for standing: 1 of 5 voters see it down (and a2 a6 a4)
  124.779 a5    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a2 a6 a4)
  124.963 a6    holds shop/east for standing: 2 of 5 voters see it down (and a4 a2 a5)
  124.963 a6    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a2 a5)
  125.723 a4    holds shop/east for down: 3 of 5 voters see it down (and a6 a2 a5)
  125.723 a4    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a6 a2 a5)
  125.906 a4    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a6 a2 a5)
  126.145 a2    leaves shop alone: database of east down for 3 of 5 voters in 3 regions; others will propose: this agent started too recently
  126.335 a4    learns shop epoch 2 fencing at 8.89d0: failover, active east, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a6 a2 a5)
  131.335 a4    failed for shop with 2.1.1: no answer within 5000 ms
  131.411 a4    learns shop epoch 2 promoting at 10.89d0: failover, active east, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a6 a2 a5)
  131.468 *     promote with 2.1.3 of a4: promoted to timeline 2
  131.641 a4    learns shop epoch 2 publishing at 11.89d0: failover, active west, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a6 a2 a5)
  131.793 a4    learns shop epoch 2 verifying at 12.89d0: failover, active west, carried out by a4 (database of east down for 3 of 5 voters in 3 regions) (and a6 a2 a5)
  132.100 a4    learns shop epoch 2 idle at 13.89d0: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a6 a2 a5)
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
