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
  182.333 a5    learns that answers of shop are kept for 5 s at most (and a2 a3 a1 a4)
  182.391 *     publish with 3.1.4 of a5: names east
  184.056 a3    finds web of shop/east at 198.51.100.8 (and a1 a2 a4 a5)
  185.713 a5    hands out shop/east without web-198-51-100-7 (and a2 a3 a1 a4)
  187.473 a5    learns shop epoch 4 publishing at 14.10df: follow, active east (follows east/web -198.51.100.7) (and a2 a3 a1 a4)
  187.786 a1    learns shop epoch 4 publishing at 15.41cd: follow, active east, carried out by a1 (follows east/web -198.51.100.7) (and a4 a3 a2 a5)
  187.823 *     publish with 4.1.4 of a1: names east
  187.930 a1    learns shop epoch 4 verifying at 16.41cd: follow, active east, carried out by a1 (follows east/web -198.51.100.7) (and a4 a3 a2 a5)
  187.999 a1    learns shop epoch 4 idle at 17.41cd: follow, active east (follows east/web -198.51.100.7) (and a4 a3 a2 a5)
  214.148 a1    learns shop epoch 5 publishing at 18.41cd: follow, active east (follows east/web -198.51.100.1) (and a4 a3 a2 a5)
  214.664 a2    learns shop epoch 5 publishing at 19.bfcd: follow, active east, carried out by a2 (follows east/web -198.51.100.1) (and a5 a3 a1 a4)
  214.721 *     publish with 5.1.4 of a2: names east
  214.881 a2    learns shop epoch 5 verifying at 20.bfcd: follow, active east, carried out by a2 (follows east/web -198.51.100.1) (and a5 a3 a1 a4)
  215.020 a2    learns shop epoch 5 idle at 21.bfcd: follow, active east (follows east/web -198.51.100.1) (and a5 a3 a1 a4)
shop: epoch 5 follow idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.8, change 5, kept 5 s

# A source that fails, or tells of nothing, leaves what stands.
source shop east nothing
run 60s
source shop east fails
run 60s
state
----
  240.000 *     the source of shop/east tells of nothing
  242.028 a2    does not find web of shop/east: it tells of nothing (and a4 a5 a3 a1)
  275.124 a3    learns that answers of shop are kept for 20 s at most (and a1 a4 a2 a5)
  275.180 *     publish with 5.1.4 of a3: names east
  300.000 *     the source of shop/east tells nobody anything (no answer)
  305.067 a3    does not find web of shop/east: no answer (and a1 a2 a4 a5)
  335.198 a3    learns that answers of shop are kept as defined (and a1 a4 a2 a5)
  335.239 *     publish with 5.1.4 of a3: names east
shop: epoch 5 follow idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.8, change 5

# A definition that is applied anew says where to look, not what was found.
apply a2 shop ttl=60
run 10s
state
----
  360.139 a2    learns shop epoch 6 publishing at 24.bfcd: apply, active east (definition revision 6) (and a5 a3 a1 a4)
  360.469 a5    learns shop epoch 6 publishing at 25.10df: apply, active east, carried out by a5 (definition revision 6) (and a2 a3 a1 a4)
  360.524 *     publish with 6.1.4 of a5: names east
  360.699 a5    learns shop epoch 6 verifying at 26.10df: apply, active east, carried out by a5 (definition revision 6) (and a2 a3 a1 a4)
  360.838 a5    learns shop epoch 6 idle at 27.10df: apply, active east (definition revision 6) (and a2 a3 a1 a4)
shop: epoch 6 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.8, change 5, kept 60 s
