# Only the guard of the primary dies: the kernel shuts its door, and no client writes any more, while every agent still sees
# the database up behind it and the replica streams. Once its last lease is over the standby is promoted, with everything.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

kill a6
until shop promoting within 30s
state
----
  100.000 a6    is killed
  109.043 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a2 a5 a7)
  109.058 a7    leaves shop alone: database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut; others will propose: this agent is an observer
  109.259 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut) (and a5 a7 a3 a1 a4)
  109.280 *     fence with 2.1.1 of a2: read-only, sessions ended
shop: epoch 2 failover promoting, active east
  shop/east/db: Up, primary, timeline 1, closed, its door is shut
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

until shop settled within 60s
state
----
  109.405 a2    learns shop epoch 2 promoting at 6.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut) (and a5 a7 a3 a1 a4)
  109.475 a7    holds open shop/west
  109.555 *     promote with 2.1.3 of a7: promoted to timeline 2
  109.707 a2    learns shop epoch 2 publishing at 7.bfcd: failover, active west, carried out by a2 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut) (and a5 a7 a3 a1 a4)
  109.846 a2    learns shop epoch 2 verifying at 8.bfcd: failover, active west, carried out by a2 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut) (and a5 a7 a3 a1 a4)
  109.985 a2    learns shop epoch 2 idle at 9.bfcd: failover, active west (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut) (and a5 a7 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1, closed, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open

# It comes back to a database that is no longer the one to write to, and keeps its door shut.
restart a6
run 10s
state
----
  111.024 a6    learns shop epoch 2 idle at 9.bfcd: failover, active west (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1, closed, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
