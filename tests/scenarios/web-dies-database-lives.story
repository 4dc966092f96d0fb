# SCENARIOS 10: the web of the active stack is dead, and its database is well. Web and database of a stack move together
# (`across = true` is refused for now): the database is fenced while it answers, and nothing of what it wrote is lost.
mesh 5 voters 3 regions
app shop synchronous
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

web shop east dark
until shop fencing within 60s
until shop settled within 90s
state
----
  100.000 *     shop/east: web is Dark
  109.601 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.601 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.844 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  109.844 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  110.054 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  110.089 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a5)
  110.200 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (web of east down for 4 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  110.246 *     fence with 2.1.1 of a2: read-only, sessions ended
  110.353 a2    learns shop epoch 2 promoting at 6.bfcd: failover, active east, carried out by a2 (web of east down for 4 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  110.361 *     promote with 2.1.3 of a2: promoted to timeline 2
  110.540 a2    learns shop epoch 2 publishing at 7.bfcd: failover, active west, carried out by a2 (web of east down for 4 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  110.680 a2    learns shop epoch 2 verifying at 8.bfcd: failover, active west, carried out by a2 (web of east down for 4 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  110.819 a2    learns shop epoch 2 idle at 9.bfcd: failover, active west (web of east down for 4 of 5 voters in 3 regions) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1, closed
  shop/west/db: Up, primary, timeline 2
