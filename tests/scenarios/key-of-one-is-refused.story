# The records' server refuses the key of one agent, the one that carries the failover out. It has not fallen silent, so nobody
# would take the step over from it: it says that it cannot, and the next one does. Everybody knows why.
mesh 5 voters 3 regions
app shop outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

bar a2
stack shop east dark
run 20s
state
why a4 shop
----
  100.000 *     shop/east: web is Dark
  105.655 a2    learns that answers of shop are kept for 5 s at most (and a5 a3 a1 a4)
  105.707 *     publish with 1.1.4 of a2 not: NOTAUTH (BADSIG)
  105.736 a2    failed for shop with 1.1.4: NOTAUTH (BADSIG)
  105.736 a2    leaves shop with 1.1.4 to others: NOTAUTH (BADSIG)
  109.060 a1    finds shop.example.com of shop changed: holds it under another lifetime
  109.135 *     publish with 1.1.4 of a1: names east
  109.729 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a5)
  109.729 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a5)
  109.815 a4    holds shop/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  109.815 a4    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  109.992 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  110.053 a5    holds shop/east for down: 4 of 5 voters see it down (and a3 a1 a4)
  110.173 a2    learns shop epoch 2 publishing at 6.bfcd: failover, active west, carried out by a2 (web of east down for 3 of 5 voters in 2 regions) (and a5 a3 a1 a4)
  110.213 *     publish with 2.1.4 of a2 not: NOTAUTH (BADSIG)
  110.222 a2    failed for shop with 2.1.4: NOTAUTH (BADSIG)
  110.222 a2    leaves shop with 2.1.4 to others: NOTAUTH (BADSIG)
  111.143 a4    learns shop epoch 2 publishing at 7.89d0: failover, active west, carried out by a4 (web of east down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
  111.166 *     publish with 2.1.4 of a4: names west
  111.260 a4    learns shop epoch 2 verifying at 8.89d0: failover, active west, carried out by a4 (web of east down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
  111.328 a4    learns shop epoch 2 idle at 9.89d0: failover, active west (web of east down for 3 of 5 voters in 2 regions) (and a1 a3 a2 a5)
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 5 s
a4 on shop: west stands: nobody whose word counts sees it down
  not ready: east: web long enough up for 0 of 5 voters, 3 are needed

# Who keeps the records from now on could not: somebody else puts back what is edited.
bar a4
edit shop.example.com 192.0.2.97
run 120s
state
----
  120.000 *     somebody has shop.example.com hold 192.0.2.97
  151.043 a4    leaves shop with 2.1.4 to others: is not ours to write over
  160.069 a1    finds shop.example.com of shop changed: holds 192.0.2.97, decided was 198.51.100.2
  160.162 *     publish with 2.1.4 of a1: names west
  171.371 a4    learns that answers of shop are kept for 20 s at most (and a1 a3 a2 a5)
  171.448 *     publish with 2.1.4 of a1: names west
  231.441 a4    learns that answers of shop are kept as defined (and a1 a3 a2 a5)
  231.500 *     publish with 2.1.4 of a1: names west
shop: epoch 2 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 4
