# Endpoints are followed instead of listed. What a source names is looked at first, and agreed once a quorum of voters has found
# it at its own source and seen it up; only then do answers and records name it. What the source no longer names is kept for a while.
mesh 5 voters 3 regions
app shop follows outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

# A second server comes.
source shop east 198.51.100.1 198.51.100.7
source shop west 198.51.100.2
run 20s
state
----
  100.000 *     the source of shop/east tells 198.51.100.1 198.51.100.7
  100.000 *     the source of shop/west tells 198.51.100.2
  110.034 a2    finds web of shop/east at 198.51.100.1, 198.51.100.7 (and a4 a5 a3 a1)
  110.034 a2    finds web of shop/west at 198.51.100.2 (and a4 a5 a3 a1)
  110.241 a2    learns shop epoch 2 publishing at 5.bfcd: follow, active east (follows east/web +198.51.100.7) (and a5 a3 a1 a4)
  110.604 a4    learns shop epoch 2 publishing at 6.89d0: follow, active east, carried out by a4 (follows east/web +198.51.100.7) (and a1 a3 a2 a5)
  110.630 *     publish with 2.1.4 of a4: names east
  110.719 a4    learns shop epoch 2 verifying at 7.89d0: follow, active east, carried out by a4 (follows east/web +198.51.100.7) (and a1 a3 a2 a5)
  110.787 a4    learns shop epoch 2 idle at 8.89d0: follow, active east (follows east/web +198.51.100.7) (and a1 a3 a2 a5)
shop: epoch 2 follow idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1 198.51.100.7, change 2

# A third is named and does not answer: nothing is agreed. Once it serves, it is.
source shop east 198.51.100.1 198.51.100.7 198.51.100.8
endpoint shop east web-198-51-100-8 dark
run 30s
endpoint shop east web-198-51-100-8 up
run 30s
state
----
  120.000 *     the source of shop/east tells 198.51.100.1 198.51.100.7 198.51.100.8
  120.000 *     shop/east/web-198-51-100-8 is Dark
  121.034 a2    finds web of shop/east at 198.51.100.1, 198.51.100.7, 198.51.100.8 (and a4 a5 a3 a1)
  150.000 *     shop/east/web-198-51-100-8 is Up
  150.462 a1    refuses 9.89d0 for shop: I do not see east/web up at 198.51.100.8 (and a3)
  150.538 a4    learns shop epoch 3 publishing at 9.89d0: follow, active east (follows east/web +198.51.100.8) (and a1 a3 a2 a5)
  150.882 a3    learns shop epoch 3 publishing at 10.35dd: follow, active east, carried out by a3 (follows east/web +198.51.100.8) (and a1 a4 a2 a5)
  150.888 *     publish with 3.1.4 of a3: names east
  150.968 a3    learns shop epoch 3 verifying at 11.35dd: follow, active east, carried out by a3 (follows east/web +198.51.100.8) (and a1 a4 a2 a5)
  151.036 a3    learns shop epoch 3 idle at 12.35dd: follow, active east (follows east/web +198.51.100.8) (and a1 a4 a2 a5)
shop: epoch 3 follow idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1 198.51.100.7 198.51.100.8, change 3

# It takes the place of the others, one of which is drained and one of which is dead.
source shop east 198.51.100.8
endpoint shop east web-198-51-100-7 down
run 60s
state
----
  180.000 *     the source of shop/east tells 198.51.100.8
  180.000 *     shop/east/web-198-51-100-7 is Refusing
  184.056 a3    finds web of shop/east at 198.51.100.8 (and a1 a2 a4 a5)
  185.688 a5    hands out shop/east without web-198-51-100-7 (and a2 a3 a1 a4)
  186.107 a4    refuses 13.35dd for shop: my source of east/web names 198.51.100.7 (and a2 a5)
  187.429 a5    learns shop epoch 5 publishing at 15.10df: abort, active east, carried out by a5 (too few accepted it) (and a2 a3 a1 a4)
  187.458 *     publish with 5.1.4 of a5: names east
  187.620 a5    learns shop epoch 5 verifying at 16.10df: abort, active east, carried out by a5 (too few accepted it) (and a2 a3 a1 a4)
  187.759 a5    learns shop epoch 5 idle at 17.10df: abort, active east (too few accepted it) (and a2 a3 a1 a4)
  192.865 a4    learns shop epoch 6 publishing at 18.89d0: follow, active east (follows east/web -198.51.100.7) (and a1 a3 a2 a5)
  193.196 a3    learns shop epoch 6 publishing at 19.35dd: follow, active east, carried out by a3 (follows east/web -198.51.100.7) (and a1 a4 a2 a5)
  193.254 *     publish with 6.1.4 of a3: names east
  193.355 a3    learns shop epoch 6 verifying at 20.35dd: follow, active east, carried out by a3 (follows east/web -198.51.100.7) (and a1 a4 a2 a5)
  193.423 a3    learns shop epoch 6 idle at 21.35dd: follow, active east (follows east/web -198.51.100.7) (and a1 a4 a2 a5)
  216.127 a3    learns shop epoch 7 publishing at 22.35dd: follow, active east (follows east/web -198.51.100.1) (and a1 a4 a2 a5)
  216.544 a2    learns shop epoch 7 publishing at 23.bfcd: follow, active east, carried out by a2 (follows east/web -198.51.100.1) (and a5 a3 a1 a4)
  216.580 *     publish with 7.1.4 of a2: names east
  216.732 a2    learns shop epoch 7 verifying at 24.bfcd: follow, active east, carried out by a2 (follows east/web -198.51.100.1) (and a5 a3 a1 a4)
  216.871 a2    learns shop epoch 7 idle at 25.bfcd: follow, active east (follows east/web -198.51.100.1) (and a5 a3 a1 a4)
shop: epoch 7 follow idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.8, change 5

# A source that fails, or tells of nothing, leaves what stands.
source shop east nothing
run 60s
source shop east fails
run 60s
state
----
  240.000 *     the source of shop/east tells of nothing
  242.028 a2    does not find web of shop/east: it tells of nothing (and a4 a5 a3 a1)
  300.000 *     the source of shop/east tells nobody anything (no answer)
  305.067 a3    does not find web of shop/east: no answer (and a1 a2 a4 a5)
shop: epoch 7 follow idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.8, change 5

# A definition that is applied anew says where to look, not what was found.
apply a2 shop ttl=60
run 10s
state
----
  360.139 a2    learns shop epoch 8 publishing at 26.bfcd: apply, active east (definition revision 8) (and a5 a3 a1 a4)
  360.446 a3    learns shop epoch 8 publishing at 27.35dd: apply, active east, carried out by a3 (definition revision 8) (and a1 a4 a2 a5)
  360.456 *     publish with 8.1.4 of a3: names east
  360.533 a3    learns shop epoch 8 verifying at 28.35dd: apply, active east, carried out by a3 (definition revision 8) (and a1 a4 a2 a5)
  360.601 a3    learns shop epoch 8 idle at 29.35dd: apply, active east (definition revision 8) (and a1 a4 a2 a5)
shop: epoch 8 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.8, change 5
