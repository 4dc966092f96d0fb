# An operator moves an app without loss: both sides are well.
mesh 5 voters 3 regions
app shop synchronous outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

switchover a3 shop west
until shop fencing within 10s
until shop settled within 60s
state
----
  100.159 a3    learns shop epoch 2 fencing at 5.35dd: switchover, active east, carried out by a3 (switchover asked for by operator) (and a1 a4 a2 a5)
  100.186 *     fence with 2.1.1 of a3: read-only, sessions ended
  100.265 a3    learns shop epoch 2 promoting at 6.35dd: switchover, active east, carried out by a3 (switchover asked for by operator) (and a1 a4 a2 a5)
  100.308 *     promote with 2.1.3 of a3: promoted to timeline 2
  100.407 a3    learns shop epoch 2 publishing at 7.35dd: switchover, active west, carried out by a3 (switchover asked for by operator) (and a1 a4 a2 a5)
  100.460 *     publish with 2.1.4 of a3: names west
  100.564 a3    learns shop epoch 2 verifying at 8.35dd: switchover, active west, carried out by a3 (switchover asked for by operator) (and a1 a4 a2 a5)
  100.768 a3    learns shop epoch 2 idle at 9.35dd: switchover, active west (switchover asked for by operator) (and a1 a4 a2 a5)
shop: epoch 2 switchover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2
  shop/east/db: Up, primary, timeline 1, closed
  shop/west/db: Up, primary, timeline 2

# The old primary is made a replica, and the way back is the same.
rebuild
run 70s
switchover a1 shop east
run 30s
state
----
  100.803 *     shop/east/db is made a replica of shop/west/db
  170.972 a1    learns shop epoch 3 fencing at 10.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  170.990 *     fence with 3.1.1 of a1: read-only, sessions ended
  171.080 a1    learns shop epoch 3 promoting at 11.41cd: switchover, active west, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  171.116 *     promote with 3.1.3 of a1: promoted to timeline 3
  171.187 a1    learns shop epoch 3 publishing at 12.41cd: switchover, active east, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  171.227 *     publish with 3.1.4 of a1: names east
  171.308 a1    learns shop epoch 3 verifying at 13.41cd: switchover, active east, carried out by a1 (switchover asked for by operator) (and a4 a3 a2 a5)
  171.618 a1    learns shop epoch 3 idle at 14.41cd: switchover, active east (switchover asked for by operator) (and a4 a3 a2 a5)
shop: epoch 3 switchover idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 3
  shop/east/db: Up, primary, timeline 3
  shop/west/db: Up, primary, timeline 2, closed
