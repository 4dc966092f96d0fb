# A stack is seen up again right after its guard has shut it: the decision is taken back, and so is the lease.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

stack shop east dark
until shop fencing within 30s
stack shop east up
until shop settled within 60s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  108.899 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a6 a2 a5 a7)
  108.899 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a6 a2 a5 a7)
  109.569 a1    holds shop/east for standing: 2 of 5 voters see it down (and a4 a6 a3 a2 a5 a7)
  109.569 a1    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a6 a3 a2 a5 a7)
  109.981 a1    holds shop/east for down: 3 of 5 voters see it down (and a4 a6 a2 a3 a5 a7)
  110.003 a1    holds shop/east for down: 4 of 5 voters see it down (and a5 a7 a3 a4 a6)
  110.003 a6    leaves shop alone: database of east down for 3 of 5 voters in 3 regions; others will propose: this agent is an observer
  110.035 a7    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent is an observer
  110.040 a7    leaves shop alone: database of east down for 4 of 5 voters in 3 regions; others will propose: this agent is an observer (and a6)
  110.073 a1    holds shop/east for down: 5 of 5 voters see it down
  110.116 *     shop/east: web is Up
  110.150 a2    learns shop epoch 2 fencing at 6.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  110.188 a6    has shut shop/east
  110.200 *     fence with 2.1.1 of a2: read-only, sessions ended
  110.373 a2    learns shop epoch 2 promoting at 8.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  110.443 a7    holds open shop/west
  110.475 *     promote with 2.1.3 of a2: promoted to timeline 2
  110.645 a2    learns shop epoch 2 publishing at 9.bfcd: failover, active west, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  110.784 a2    learns shop epoch 2 verifying at 10.bfcd: failover, active west, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
  111.134 a2    learns shop epoch 2 idle at 11.bfcd: failover, active west (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4 a6)
shop: epoch 2 failover idle, active west
  shop/east/db: Up, primary, timeline 1, closed, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
