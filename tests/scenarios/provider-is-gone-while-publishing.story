# The provider answers nobody while a definition is being published. For half a minute every executor tries; then the decision
# ends with its records owed, so that what else happens can be decided: the active stack dies, and is moved away from. Once the
# provider is back, it is told what is decided by then.
mesh 5 voters 3 regions
app shop outside
start
----
shop: epoch 1 apply idle, active east
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1

records-server dark
apply a1 shop ttl=61
run 10s
why a1 shop
stack shop east dark
run 60s
state
why a1 shop
----
  100.000 *     192.0.2.53:53 is dark
  100.068 a1    learns shop epoch 2 publishing at 5.41cd: apply, active east (definition revision 2) (and a4 a3 a2 a5)
  100.373 a1    learns shop epoch 2 publishing at 6.41cd: apply, active east, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  105.373 a1    failed for shop with 2.1.4: no answer within 5000 ms (and a4)
  110.000 *     shop/east: web is Dark
  116.041 a1    leaves shop with 2.1.4 to others: no answer within 5000 ms
  117.132 a4    learns shop epoch 2 publishing at 7.89d0: apply, active east, carried out by a4 (definition revision 2) (and a1 a3 a2 a5)
  132.800 a4    goes on with shop, with records owed by 2.1.4: no answer within 5000 ms
  132.868 a4    learns shop epoch 2 verifying at 8.89d0: apply, active east, carried out by a4 (definition revision 2) (and a1 a3 a2 a5)
  132.936 a4    learns shop epoch 2 idle at 9.89d0: apply, active east (definition revision 2) (and a1 a3 a2 a5)
  132.936 a4    holds shop/east for down: 5 of 5 voters see it down (and a1 a3 a2 a5)
  133.047 a4    learns shop epoch 3 publishing at 10.89d0: failover, active west, carried out by a4 (web of east down for 5 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  138.047 a4    failed for shop with 3.1.4: no answer within 5000 ms (and a5)
  148.715 a4    leaves shop with 3.1.4 to others: no answer within 5000 ms
  149.187 a5    learns shop epoch 3 publishing at 11.10df: failover, active west, carried out by a5 (web of east down for 5 of 5 voters in 3 regions) (and a2 a3 a1 a4)
  164.926 a5    goes on with shop, with records owed by 3.1.4: no answer within 5000 ms
  165.065 a5    learns shop epoch 3 verifying at 12.10df: failover, active west, carried out by a5 (web of east down for 5 of 5 voters in 3 regions) (and a2 a3 a1 a4)
  165.205 a5    learns shop epoch 3 idle at 13.10df: failover, active west (web of east down for 5 of 5 voters in 3 regions) (and a2 a3 a1 a4)
a1 on shop: publishing, carried out by a1: no answer within 5000 ms
shop: epoch 3 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.1, change 1
a1 on shop: west stands: nobody whose word counts sees it down
  not ready: east: web long enough up for 0 of 5 voters, 3 are needed

records-server up
run 40s
state
----
  170.000 *     192.0.2.53:53 is up
  171.053 a5    finds shop.example.com of shop changed: holds 198.51.100.1, decided was 198.51.100.2
  171.170 *     publish with 3.1.4 of a5: names west
shop: epoch 3 failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 61 s

# The stack that a person moves it to dies while the provider is gone once more. It is looked for ten minutes whether that serves;
# people need not wait for it.
stack shop east up
run 70s
records-server dark
failover a1 shop east
run 3s
stack shop east dark
run 57s
why a1 shop
records-server up
failover a2 shop west
run 10s
state
----
  210.000 *     shop/east: web is Up
  280.000 *     192.0.2.53:53 is dark
  280.148 a1    learns shop epoch 4 publishing at 14.41cd: forced failover, active east, carried out by a1 (forced failover asked for by operator) (and a4 a3 a2 a5)
  283.000 *     shop/east: web is Dark
  285.148 a1    failed for shop with 4.1.4: no answer within 5000 ms (and a2)
  295.816 a1    leaves shop with 4.1.4 to others: no answer within 5000 ms
  296.239 a2    learns shop epoch 4 publishing at 15.bfcd: forced failover, active east, carried out by a2 (forced failover asked for by operator) (and a5 a3 a1 a4)
  311.978 a2    goes on with shop, with records owed by 4.1.4: no answer within 5000 ms
  312.117 a2    learns shop epoch 4 verifying at 16.bfcd: forced failover, active east, carried out by a2 (forced failover asked for by operator) (and a5 a3 a1 a4)
  340.000 *     192.0.2.53:53 is up
  340.145 a2    learns shop epoch 5 publishing at 17.bfcd: forced failover, active west, carried out by a2 (forced failover asked for by operator) (and a5 a3 a1 a4)
  340.201 *     publish with 5.1.4 of a2: names west
  340.368 a2    learns shop epoch 5 verifying at 18.bfcd: forced failover, active west, carried out by a2 (forced failover asked for by operator) (and a5 a3 a1 a4)
  340.507 a2    learns shop epoch 5 idle at 19.bfcd: forced failover, active west (forced failover asked for by operator) (and a5 a3 a1 a4)
a1 on shop: verifying, carried out by a2
shop: epoch 5 forced failover idle, active west
  192.0.2.53:53: shop.example.com is 198.51.100.2, change 2, kept 61 s
