# A person calls off a failover while the old primary is being fenced: it is taken back under a new epoch, and opened again.
mesh 5 voters 3 regions
app shop database outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

trap fencing before
stack shop east down
until shop fencing within 30s
run 1s
abort a1 shop
stack shop east up
until shop settled within 120s
state
----
  100.000 *     shop/east: web is Refusing
  100.000 *     shop/east/db is Refusing
  104.658 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  104.658 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  104.827 a2    holds shop/east for standing: 2 of 5 voters see it down (and a5 a4 a1 a3)
  104.827 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  104.902 a2    holds shop/east for down: 3 of 5 voters see it down (and a5 a3 a1 a4)
  105.048 a2    learns shop epoch 2 fencing at 5.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  105.048 a2    is killed
  105.062 a3    holds shop/east for down: 4 of 5 voters see it down (and a1 a4)
  106.013 *     shop/east: web is Up
  106.081 a1    learns shop epoch 3 aborting at 6.41cd: abort, active east, carried out by a1 (taken back by operator) (and a4 a3 a5)
  106.100 *     unfence with 3.1.2 of a1: writable again
  106.196 a1    learns shop epoch 3 idle at 7.41cd: abort, active east (taken back by operator) (and a4 a3 a5)
  106.196 a1    holds shop/east for contested: 3 of 5 voters see it down (and a4 a3 a5)
  106.196 a1    leaves shop alone: east is contested: 3 of 5 voters see it down, 2 see it up (and a4 a3 a5)
shop: epoch 3 abort idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

# There is nothing to call off any more.
abort a1 shop
run 1s
freeze a1 shop 0s for ever
run 2s
----
  106.268 a1    answers: Refused("nothing is in progress")
  106.494 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a5)
  106.494 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a5)
  106.529 a5    holds shop/east for standing: 1 of 5 voters see it down (and a3 a1 a4)
  106.529 a5    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a1 a4)
  107.268 a1    answers: Refused("a freeze lasts at least a second and at most 90 d")
