# The mesh has the primary wait for one replica, and relies on it once it was seen to. The replica falls silent: it is relied on
# no more, and only then waited for no more; the other takes its place, and is promoted when the primary dies.
mesh 5 voters 3 regions
app shop sync=1 stacks=east,west,north
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

run 30s
state
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/north/db: Up, replica, timeline 1, streams
  shop/west/db: Up, replica, timeline 1, streams

sever shop west
run 60s
state
----
  141.180 a2    learns that no replica of shop is relied on (and a5 a3 a1 a4)
  143.012 *     wait for replicas with 1.1.4 of a2: waits for {"north"}
  146.063 a5    refuses 7.bfcd for shop: evidence: db of north (north) was not seen to be waited for (and a3 a1 a4)
  146.510 a2    learns that shop relies on db of north (and a5 a3 a1 a4)
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
  199.706 a4    holds shop/east for standing: 1 of 5 voters see it down (and a1 a3 a2 a5)
  199.706 a4    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  200.570 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a2 a5)
  200.570 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  200.840 a5    holds shop/east for down: 3 of 5 voters see it down (and a2 a3 a1 a4)
  200.840 a5    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a2 a3 a1 a4)
  200.875 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4 a2 a5)
  201.127 a2    learns shop epoch 2 fencing at 10.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.127 a2    failed for shop with 2.1.1: no answer within 5000 ms
  206.503 a2    learns shop epoch 2 promoting at 12.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.538 *     promote with 2.1.3 of a2: promoted to timeline 2
  206.680 a2    learns that no replica of shop is relied on (and a5 a3 a1 a4)
  206.680 a2    learns shop epoch 2 publishing at 13.bfcd: failover, active north, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  206.721 *     follow with 2.1.4 of a2: follows north
  206.894 a2    learns shop epoch 2 verifying at 14.bfcd: failover, active north, carried out by a2 (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  207.033 a2    learns shop epoch 2 idle at 15.bfcd: failover, active north (database of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  217.072 a4    raises the alarm: shop: db of west is left behind on timeline 1 (and a3 a1 a2 a5)
  217.140 a4    learns shop epoch 3 publishing at 16.89d0: apply, active north (db of west is left behind on timeline 1: it is told to follow) (and a1 a3 a2 a5)
  217.560 a5    learns shop epoch 3 publishing at 17.10df: apply, active north, carried out by a5 (db of west is left behind on timeline 1: it is told to follow) (and a2 a3 a1 a4)
  217.569 *     follow with 3.1.4 of a5: follows north
  222.560 a5    failed for shop with 3.1.4: no answer within 5000 ms
  222.699 a5    learns shop epoch 3 verifying at 18.10df: apply, active north, carried out by a5 (db of west is left behind on timeline 1: it is told to follow) (and a2 a3 a1 a4)
  222.838 a5    learns shop epoch 3 idle at 19.10df: apply, active north (db of west is left behind on timeline 1: it is told to follow) (and a2 a3 a1 a4)
shop: epoch 3 apply idle, active north
  shop/east/db: Dark, primary, timeline 1, waits for north
  shop/north/db: Up, primary, timeline 2
  shop/west/db: Up, replica, timeline 1
