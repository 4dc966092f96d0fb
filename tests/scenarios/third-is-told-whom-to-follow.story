# Three stacks: of two standbys one is promoted, and the other is told to follow it. One that was down just then is told when
# it is back; nobody has to rebuild it.
mesh 5 voters 3 regions
app shop database stacks=east,west,north
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

stack shop east dark
until shop settled within 60s
run 10s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.735 a4    holds shop/east for standing: 1 of 5 voters see it down (and a1 a3 a2 a5)
  109.735 a4    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  109.990 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a3 a1 a4)
  110.189 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a2 a3 a1 a4)
  110.516 a1    holds shop/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  110.516 a1    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a4 a3 a2 a5)
  110.706 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  111.068 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  116.068 a2    failed for shop with 2.1.1: no answer within 5000 ms
  116.233 a2    learns shop epoch 2 promoting at 7.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  116.291 *     promote with 2.1.3 of a2: promoted to timeline 2
  116.442 a2    learns shop epoch 2 publishing at 8.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  116.456 *     follow with 2.1.4 of a2: follows west
  116.625 a2    learns shop epoch 2 verifying at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  116.971 a2    learns shop epoch 2 idle at 10.bfcd: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/north/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2

# North is down while the app goes on to the last stack that it has, and back later.
stack shop east up
rebuild
run 70s
stack shop north dark
run 5s
stack shop west dark
run 30s
stack shop north up
run 40s
state
----
  127.009 *     shop/east: web is Up
  127.009 *     shop/east/db is made a replica of shop/west/db
  197.009 *     shop/north: web is Dark
  197.009 *     shop/north/db is Dark
  202.009 *     shop/west: web is Dark
  202.009 *     shop/west/db is Dark
  210.158 a3    holds shop/west for standing: 1 of 5 voters see it down (and a1 a4 a5 a2)
  210.158 a3    leaves shop alone: west stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a5 a2)
  210.193 a2    holds shop/west for standing: 2 of 5 voters see it down (and a5 a1 a4 a3)
  210.193 a2    leaves shop alone: west stands: 2 of 5 voters see it down, 3 are needed (and a5 a3)
  210.219 a4    holds shop/west for down: 3 of 5 voters see it down (and a1 a3 a2 a5)
  210.222 a1    holds shop/west for down: 4 of 5 voters see it down (and a3 a2 a5)
  210.294 a2    holds shop/west for down: 5 of 5 voters see it down (and a5 a3 a1)
  210.330 a4    learns shop epoch 3 fencing at 11.89d0: failover, active west, carried out by a4 (database of west down for 4 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  215.330 a4    failed for shop with 3.1.1: no answer within 5000 ms
  215.368 a2    refuses 12.89d0 for shop: own evidence missing or older than 5 s
  215.421 a4    learns shop epoch 3 promoting at 12.89d0: failover, active west, carried out by a4 (database of west down for 4 of 5 voters in 3 regions)
  215.478 *     promote with 3.1.3 of a4: promoted to timeline 3
  215.801 a4    learns shop epoch 3 publishing at 14.89d0: failover, active east, carried out by a4 (database of west down for 4 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  220.801 a4    failed for shop with 3.1.4: no answer within 5000 ms
  220.869 a4    learns shop epoch 3 verifying at 15.89d0: failover, active east, carried out by a4 (database of west down for 4 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  220.937 a4    learns shop epoch 3 idle at 16.89d0: failover, active east (database of west down for 4 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  232.009 *     shop/north: web is Up
  242.468 a5    raises the alarm: shop: db of north is left behind on timeline 2 (and a2 a3 a1 a4)
  242.607 a5    learns shop epoch 4 publishing at 17.10df: apply, active east (db of north is left behind on timeline 2: it is told to follow) (and a2 a3 a1 a4)
  242.919 a2    learns shop epoch 4 publishing at 18.bfcd: apply, active east, carried out by a2 (db of north is left behind on timeline 2: it is told to follow) (and a5 a3 a1 a4)
  242.951 *     follow with 4.1.4 of a2: follows east
  247.919 a2    failed for shop with 4.1.4: no answer within 5000 ms
  248.058 a2    learns shop epoch 4 verifying at 19.bfcd: apply, active east, carried out by a2 (db of north is left behind on timeline 2: it is told to follow) (and a5 a3 a1 a4)
  248.197 a2    learns shop epoch 4 idle at 20.bfcd: apply, active east (db of north is left behind on timeline 2: it is told to follow) (and a5 a3 a1 a4)
shop: epoch 4 apply idle, active east
  shop/east/db: Up, primary, timeline 3
  shop/north/db: Up, replica, timeline 3, streams
  shop/west/db: Dark, primary, timeline 2
