# The host that is promoted dies while it is, and the old one is back: a person gives the promotion up once no lease of it runs.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

host shop east dies
until shop promoting within 30s
run 0.15s
host shop west dies
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  100.000 a6    is killed (and a7)
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
  109.332 a2    learns shop epoch 2 promoting at 6.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions) (and a5 a7 a3 a1 a4)
  109.402 a7    holds open shop/west
  109.447 *     shop/west: web is Dark
  109.447 *     shop/west/db is Dark
shop: epoch 2 failover promoting, active east
  shop/east/db: Dark, primary, timeline 1, its door is shut
  shop/west/db: Dark, replica, timeline 1, its door is open

run 2s
abort a1 shop accept-loss
run 1s
why a2 shop
----
  111.481 a1    answers: Refused("epoch 2 is promoting, and a7 holds west open: stop that agent if it is not to")
a2 on shop: promoting, carried out by a2

run 12s
abort a1 shop
run 1s
why a1 shop
why a2 shop
----
  114.186 a2    failed for shop with 2.1.1: no answer within 5000 ms
  117.432 a2    failed for shop with 2.1.3: no answer within 5000 ms
  124.481 a1    answers: Refused("epoch 2 is promoting: what west wrote while it held its lease would be lost; take it back by `quorate abort shop --accept-loss`")
a1 on shop: promoting, carried out by a2: no answer within 5000 ms; a7 holds no lease of west; `quorate abort shop --accept-loss` takes it back once no lease of west runs
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
  not ready: west: db long enough up for 0 of 5 voters, 3 are needed
  not ready: west: the guard of db, a7, is heard by 0 of 5 voters
  not ready: west takes no writes: its guard a7 holds no lease
a2 on shop: promoting, carried out by a2: no answer within 5000 ms; a7 holds no lease of west; `quorate abort shop --accept-loss` takes it back once no lease of west runs
  not ready: west: web long enough up for 0 of 5 voters, 3 are needed
  not ready: west: db long enough up for 0 of 5 voters, 3 are needed
  not ready: west: the guard of db, a7, is heard by 0 of 5 voters
  not ready: west takes no writes: its guard a7 holds no lease

stack shop east up
restart a6
run 5s
abort a1 shop accept-loss
until shop settled within 60s
state
----
  125.447 *     shop/east: web is Up
  125.559 a6    holds shop/east for standing: 1 of 5 voters see it down
  125.559 a6    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed
  125.562 a6    holds shop/east for standing: 2 of 5 voters see it down
  125.562 a6    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed
  125.665 a6    holds shop/east for down: 3 of 5 voters see it down
  125.665 a6    leaves shop alone: west is not fit: web long enough up for 0 of 5 voters, 3 are needed, db long enough up for 0 of 5 voters, 3 are needed, the guard of db, a7, is heard by 0 of 5 voters
  125.685 a6    holds shop/east for down: 4 of 5 voters see it down
  125.856 a6    holds shop/east for down: 5 of 5 voters see it down
  126.064 a6    holds shop/east for standing: 0 of 5 voters see it down (and a1 a4 a3 a2 a5)
  126.448 a6    learns shop epoch 2 promoting at 6.bfcd: failover, active east, carried out by a2 (database of east down for 5 of 5 voters in 3 regions)
  130.515 a1    learns shop epoch 3 aborting at 9.41cd: abort, active east, carried out by a1 (taken back by operator; what west wrote meanwhile is given up) (and a4 a6 a3 a2 a5)
  130.549 a6    holds open shop/east
  130.571 *     unfence with 3.1.2 of a6: writable again
  130.672 a1    learns shop epoch 3 idle at 10.41cd: abort, active east (taken back by operator; what west wrote meanwhile is given up) (and a4 a6 a3 a2 a5)
shop: epoch 3 abort idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Dark, replica, timeline 1, its door is shut

stack shop west up
restart a7
run 60s
state
----
  130.710 *     shop/west: web is Up
  131.711 a7    learns shop epoch 3 idle at 10.41cd: abort, active east (taken back by operator; what west wrote meanwhile is given up)
  157.448 a6    abstains: is an observer (and a7)
shop: epoch 3 abort idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
