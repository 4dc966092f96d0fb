# The mesh has the primary wait for one replica, and relies on it once it was seen to. The replica falls silent: it is relied on
# no more, and only then waited for no more; the other takes its place, and is promoted when the primary dies.
mesh 5 voters 3 regions
app shop sync=1 stacks=east,west,north
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, waits for west
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

run 30s
state
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, waits for west
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

sever shop west
run 60s
state
----
  138.075 a2    learns that no replica of shop is relied on (and a5 a3 a1 a4)
  144.100 *     wait for replicas with 1.1.4 of a2: waits for {"copy in north"}
  147.063 a5    refuses 10.bfcd for shop: evidence: db of north (copy in north) was not seen to be waited for (and a3 a1 a4)
  148.029 a2    learns that shop relies on db of north (and a5 a3 a1 a4)
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, waits for north
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1

stack shop east dark
database shop east dark
until shop settled within 120s
run 30s
state
----
  190.000 *     shop/east: web is Dark
  190.000 *     shop/east/db is Dark
  190.000 *     shop/east/db is Dark
  198.813 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  198.813 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  200.569 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a2 a5)
  200.626 a1    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  200.674 a4    holds shop/east for down: 3 of 5 voters see it down (and a1 a3 a2 a5)
  200.674 a4    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a1 a3 a2 a5)
  200.825 a5    holds shop/east for down: 4 of 5 voters see it down (and a2 a3 a1 a4)
  200.860 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a4 a2 a5)
  201.114 a2    learns shop epoch 2 fencing at 13.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.114 a2    failed for shop with 2.1.1: no answer within 5000 ms
  206.345 a2    learns shop epoch 2 promoting at 15.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.366 *     promote with 2.1.3 of a2: promoted to timeline 2
  206.540 a2    learns that no replica of shop is relied on (and a5 a3 a1 a4)
  206.540 a2    learns shop epoch 2 publishing at 16.bfcd: failover, active north, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.589 *     follow with 2.1.4 of a2: follows north
  206.751 a2    learns shop epoch 2 verifying at 17.bfcd: failover, active north, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.996 a2    learns shop epoch 2 idle at 18.bfcd: failover, active north (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  217.016 a5    raises the alarm: shop: db of west is left behind on timeline 1 (and a4 a1 a3 a2)
  217.103 a4    learns shop epoch 3 publishing at 19.89d0: apply, active north (db of west is left behind on timeline 1: it is told to follow) (and a1 a3 a2 a5)
  217.434 a3    learns shop epoch 3 publishing at 20.35dd: apply, active north, carried out by a3 (db of west is left behind on timeline 1: it is told to follow) (and a1 a4 a2 a5)
  217.491 *     follow with 3.1.4 of a3: follows north
  222.434 a3    failed for shop with 3.1.4: no answer within 5000 ms
  222.502 a3    learns shop epoch 3 verifying at 21.35dd: apply, active north, carried out by a3 (db of west is left behind on timeline 1: it is told to follow) (and a1 a4 a2 a5)
  222.570 a3    learns shop epoch 3 idle at 22.35dd: apply, active north (db of west is left behind on timeline 1: it is told to follow) (and a1 a4 a2 a5)
shop: epoch 3 apply idle, active north
  shop/east/db: Dark, primary, timeline 1, waits for north
  shop/north/db: Up, primary, timeline 2
  shop/west/db: Up, replica, timeline 1
