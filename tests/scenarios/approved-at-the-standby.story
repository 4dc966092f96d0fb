# People decide, and ask the agent that guards the standby: what it says of the door it did not vouch for comes to others only,
# and it knows that by itself.
mesh 5 voters 3 regions 2 guards
app shop synchronous mode=approve guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

kill a6
run 15s
approve a7 shop
until shop promoting within 30s
until shop settled within 60s
state
----
  100.000 a6    is killed
  109.043 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a2 a5 a7)
  109.043 a3    leaves shop alone: would move to west (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut), and waits for `quorate approve` (and a1 a4 a2 a5 a7)
  115.145 a7    learns shop epoch 2 fencing at 5.b9f6: approved failover, active east, carried out by a7 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut, approved by operator) (and a2 a5 a3 a1 a4)
  115.154 *     fence with 2.1.1 of a7: read-only, sessions ended
  115.291 a7    learns shop epoch 2 promoting at 6.b9f6: approved failover, active east, carried out by a7 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut, approved by operator) (and a2 a5 a3 a1 a4)
  115.361 a7    holds open shop/west
  115.408 *     promote with 2.1.3 of a7: promoted to timeline 2
  115.564 a7    learns shop epoch 2 publishing at 7.b9f6: approved failover, active west, carried out by a7 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut, approved by operator) (and a2 a5 a3 a1 a4)
  115.703 a7    learns shop epoch 2 verifying at 8.b9f6: approved failover, active west, carried out by a7 (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut, approved by operator) (and a2 a5 a3 a1 a4)
  116.134 a7    learns shop epoch 2 idle at 9.b9f6: approved failover, active west (database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut, approved by operator) (and a2 a5 a3 a1 a4)
shop: epoch 2 approved failover idle, active west
  shop/east/db: Up, primary, timeline 1, closed, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
