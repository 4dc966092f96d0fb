# Three voters, two of whom are guards. The primary's dies, and every agent sees the database up behind its door: who is left,
# and guards the standby, has to propose or to accept, and knows by itself that it gave no word.
mesh 3 voters 3 regions
app shop synchronous guards=a2,a3
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

kill a2
until shop promoting within 30s
until shop settled within 60s
state
----
  100.000 a2    is killed
  109.026 a1    holds shop/east for down: 2 of 3 voters see it down (and a3)
  109.145 a1    learns shop epoch 2 fencing at 5.41cd: failover, active east, carried out by a1 (database of east down for 2 of 3 voters in 2 regions: it is up, but the guard of db is silent, and so its door is shut) (and a3)
  109.202 *     fence with 2.1.1 of a1: read-only, sessions ended
  109.213 a1    learns shop epoch 2 promoting at 6.41cd: failover, active east, carried out by a1 (database of east down for 2 of 3 voters in 2 regions: it is up, but the guard of db is silent, and so its door is shut) (and a3)
  109.264 a3    holds open shop/west
  109.385 *     promote with 2.1.3 of a3: promoted to timeline 2
  109.505 a1    learns shop epoch 2 publishing at 7.41cd: failover, active west, carried out by a1 (database of east down for 2 of 3 voters in 2 regions: it is up, but the guard of db is silent, and so its door is shut) (and a3)
  109.573 a1    learns shop epoch 2 verifying at 8.41cd: failover, active west, carried out by a1 (database of east down for 2 of 3 voters in 2 regions: it is up, but the guard of db is silent, and so its door is shut) (and a3)
  109.741 a1    learns shop epoch 2 idle at 9.41cd: failover, active west (database of east down for 2 of 3 voters in 2 regions: it is up, but the guard of db is silent, and so its door is shut) (and a3)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1, closed, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
