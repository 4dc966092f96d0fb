# Replicas that are told whom to follow: an old primary comes back, open, beside the one it was replaced by. It is found by
# looks, and told to follow, in an epoch of its own.
mesh 5 voters 3 regions
app shop database engine=redis
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

stack shop east dark
until shop settled within 60s
state
----
  100.000 *     shop/east: web is Dark
  100.000 *     shop/east/db is Dark
  109.563 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  109.563 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  109.818 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a4 a1 a3)
  109.826 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5)
  109.854 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  110.021 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  115.021 a2    failed for shop with 2.1.1: no answer within 5000 ms
  115.213 a2    learns shop epoch 2 promoting at 7.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  115.254 *     promote with 2.1.3 of a2: promoted to timeline 2
  115.411 a2    learns shop epoch 2 publishing at 8.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  120.411 a2    failed for shop with 2.1.4: no answer within 5000 ms
  120.550 a2    learns shop epoch 2 verifying at 9.bfcd: failover, active west, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  120.689 a2    learns shop epoch 2 idle at 10.bfcd: failover, active west (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  160.000 *     shop did not get there within 60 s
shop: epoch 2 failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2

stack shop east up
run 30s
until shop settled within 30s
state
----
  160.000 *     shop/east: web is Up
  170.429 a4    raises the alarm: shop: db of east is a primary beside that of west (and a3 a1 a2 a5)
  170.497 a4    learns shop epoch 3 publishing at 11.89d0: apply, active west (db of east is a primary beside that of west: it is told to follow) (and a1 a3 a2 a5)
  170.985 a5    learns shop epoch 3 publishing at 12.10df: apply, active west, carried out by a5 (db of east is a primary beside that of west: it is told to follow) (and a2 a3 a1 a4)
  171.034 *     follow with 3.1.4 of a5: follows west
  171.208 a5    learns shop epoch 3 verifying at 13.10df: apply, active west, carried out by a5 (db of east is a primary beside that of west: it is told to follow) (and a2 a3 a1 a4)
  171.347 a5    learns shop epoch 3 idle at 14.10df: apply, active west (db of east is a primary beside that of west: it is told to follow) (and a2 a3 a1 a4)
shop: epoch 3 apply idle, active west
  shop/east/db: Up, replica, timeline 2, streams
  shop/west/db: Up, primary, timeline 2
