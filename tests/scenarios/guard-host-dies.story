# The host of a guarded primary dies, guard and all: the promotion waits for its last lease, which began before it died.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

host shop east dies
until shop promoting within 30s
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  100.000 a6    is killed
  108.994 a2    holds shop/east for standing: 1 of 5 voters see it down (and a7 a4 a3)
  108.994 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a7 a4 a3)
  108.995 a5    holds shop/east for standing: 2 of 5 voters see it down (and a1 a2 a7 a3 a4)
  108.995 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a2 a7 a3 a4)
  109.026 a1    holds shop/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5 a7)
  109.033 a1    holds shop/east for down: 4 of 5 voters see it down (and a4 a3 a5 a7)
  109.040 a7    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent is an observer
  109.043 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a5 a7)
  109.044 a7    leaves shop alone: database of east down for 4 of 5 voters in 3 regions; others will propose: this agent is an observer
  109.058 a7    leaves shop alone: database of east down for 5 of 5 voters in 3 regions; others will propose: this agent is an observer
  109.186 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4)

until shop settled within 60s
state
----
  109.332 a2    learns shop epoch 2 promoting at 6.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4)
  109.402 a7    holds open shop/west
  109.483 *     promote with 2.1.3 of a7: promoted to timeline 2
  109.649 a2    learns shop epoch 2 publishing at 7.bfcd: failover, active west, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4)
  109.788 a2    learns shop epoch 2 verifying at 8.bfcd: failover, active west, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4)
  109.928 a2    learns shop epoch 2 idle at 9.bfcd: failover, active west (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
