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
  101.515 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  101.570 *     publish with 1.1.4 of a2: names east
  104.620 a3    holds shop/east for standing: 1 of 5 voters see it down (and a1 a4 a2 a5)
  104.620 a3    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  104.845 a4    holds shop/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  104.872 a2    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  104.939 a2    holds shop/east for down: 3 of 5 voters see it down (and a5 a3 a1 a4)
  105.028 a5    holds shop/east for down: 4 of 5 voters see it down (and a3 a1 a4)
  105.085 a2    learns shop epoch 2 fencing at 6.bfcd: failover, active east, carried out by a2 (database of east down for 3 of 5 voters in 3 regions) (and a5 a3 a1 a4)
  105.085 a2    is killed
  106.050 *     shop/east: web is Up
  106.119 a1    learns shop epoch 3 aborting at 7.41cd: abort, active east, carried out by a1 (taken back by operator) (and a4 a3 a5)
  106.139 *     unfence with 3.1.2 of a1: writable again
  106.236 a1    learns shop epoch 3 idle at 8.41cd: abort, active east (taken back by operator) (and a4 a3 a5)
  106.236 a1    holds shop/east for contested: 3 of 5 voters see it down (and a4 a3 a5)
  106.236 a1    leaves shop alone: east is contested: 3 of 5 voters see it down, 2 see it up (and a4 a3 a5)
shop: epoch 3 abort idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1, kept 5 s
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

# There is nothing to call off any more.
abort a1 shop
run 1s
freeze a1 shop 0s for ever
run 2s
----
  106.308 a1    answers: Refused("nothing is in progress")
  106.478 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a5)
  106.478 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a5)
  106.512 a5    holds shop/east for standing: 1 of 5 voters see it down (and a3 a1 a4)
  106.512 a5    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a3 a1 a4)
  107.048 a5    finds shop.example.com of shop changed: holds 198.51.100.1, decided was 198.51.100.1
  107.135 *     publish with 3.1.4 of a5: names east
  107.308 a1    answers: Refused("a freeze lasts at least a second and at most 90 d")
