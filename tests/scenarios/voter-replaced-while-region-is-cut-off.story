# Region r3 is cut off; a voter of another region gives way meanwhile. Whoever comes back learns who votes.
mesh 5 voters 3 regions 2 standing-by
app shop database
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

# r3 holds a3.
cut a3
voters a1 replace a2 a7
until voters 3 within 60s
run 5s
----
  100.000 a1    changes the voters: replace a2 by a7, for operator
  100.114 *     voters version 2, two sets: without a2 (9d600a25) with a7 (988b0405)
  100.152 a1    goes by voters version 2: replace a2 by a7, for operator (and a4 a7 a6 a2 a5)
  100.228 a1    changes the voters: carries 1 registers over
  103.009 a3    abstains: hears no majority of voters
  111.134 *     voters version 3, one set: a1 a3 a4 a5 a7
  111.173 a1    goes by voters version 3: done: replace a2 by a7, for operator (and a4 a7 a6 a2 a5)
  111.211 a2    does not vote again with this store: its store was replaced or removed by voters version 3
  111.211 a2    is killed

# A failover by the new set, without r3.
stack shop east dark
run 60s
----
  116.134 *     shop/east: web is Dark
  116.134 *     shop/east/db is Dark
  124.653 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a7 a6 a2 a5)
  124.653 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a7 a6 a2 a5)
  124.779 a5    holds shop/east for standing: 2 of 5 voters see it down (and a2 a6 a1 a4 a7)
  124.779 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a6 a1 a4 a7)
  125.139 a7    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a6 a2 a5)
  125.139 a7    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 0 down, 0 up of 5 (and a1 a4 a6 a2 a5)
  125.723 a4    holds shop/east for down: 4 of 5 voters see it down (and a1 a7 a6 a2 a5)
  125.906 a4    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a1 a7 a6 a2 a5)
  126.145 a5    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a2 a6 a1 a4 a7)
  126.874 a6    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent stands by to become a voter
  126.895 a2    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent started too recently
  126.934 a1    learns shop epoch 2 fencing at 8.41cd: failover, active east, carried out by a1 (database of east down for 3 of 5 voters in 2 regions) (and a4 a7 a6 a2 a5)
  131.934 a1    failed for shop with 2.1.1: no answer within 5000 ms
  131.934 a7    refuses 9.41cd for shop: own evidence missing or older than 5 s
  132.087 a1    learns shop epoch 2 promoting at 9.41cd: failover, active east, carried out by a1 (database of east down for 3 of 5 voters in 2 regions)
  132.189 *     promote with 2.1.3 of a1: promoted to timeline 2
  132.298 a1    learns shop epoch 2 publishing at 11.41cd: failover, active west, carried out by a1 (database of east down for 3 of 5 voters in 2 regions) (and a4 a7 a6 a2 a5)
  132.299 a1    learns shop epoch 2 verifying at 12.41cd: failover, active west, carried out by a1 (database of east down for 3 of 5 voters in 2 regions) (and a4 a7 a6 a2 a5)
  132.650 a1    learns shop epoch 2 idle at 13.41cd: failover, active west (database of east down for 3 of 5 voters in 2 regions) (and a4 a7 a6 a2 a5)
  144.410 a2    abstains: stands by to become a voter

heal
run 10s
state
----
  176.134 *     everything is well again
  176.134 *     shop/east: web is Up
  176.134 *     shop/west: web is Up
  176.226 a3    holds shop/east for standing: 1 of 5 voters see it down
  176.226 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed
  176.255 a3    holds shop/east for standing: 0 of 5 voters see it down
  176.291 a3    holds shop/east for standing: 2 of 5 voters see it down
  176.577 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed
  177.016 a3    goes by voters version 3: done: replace a2 by a7, for operator
  177.016 a3    learns shop epoch 2 idle at 13.41cd: failover, active west (database of east down for 3 of 5 voters in 2 regions)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
