# One of two web servers is drained: no answer leads to it, and it is watched all the same. That it is up does not keep its stack up
# when the other one dies, which is the one that clients are led to.
mesh 5 voters 3 regions
app shop endpoints=2
start
apply a1 shop drain=web-1
run 20s
----
  100.068 a1    learns shop epoch 2 publishing at 5.41cd: apply, active east (definition revision 2) (and a4 a3 a2 a5)
  100.432 a1    learns shop epoch 2 publishing at 6.41cd: apply, active east, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  100.500 a1    learns shop epoch 2 verifying at 7.41cd: apply, active east, carried out by a1 (definition revision 2) (and a4 a3 a2 a5)
  100.568 a1    learns shop epoch 2 idle at 8.41cd: apply, active east (definition revision 2) (and a4 a3 a2 a5)
shop: epoch 1 apply idle, active east

endpoint shop east web-2 dark
run 20s
state
----
  120.000 *     shop/east/web-2 is Dark
  129.850 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  129.850 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  130.206 a4    holds shop/east for standing: 2 of 5 voters see it down (and a1 a3 a2 a5)
  130.206 a4    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a3 a2 a5)
  130.241 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a2 a5)
  130.331 a5    holds shop/east for down: 4 of 5 voters see it down (and a2 a3)
  130.369 a4    learns shop epoch 3 publishing at 9.89d0: failover, active west, carried out by a4 (web of east down for 3 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  130.437 a4    learns shop epoch 3 verifying at 10.89d0: failover, active west, carried out by a4 (web of east down for 3 of 5 voters in 3 regions) (and a1 a3 a2 a5)
  130.505 a4    learns shop epoch 3 idle at 11.89d0: failover, active west (web of east down for 3 of 5 voters in 3 regions) (and a1 a3 a2 a5)
shop: epoch 3 failover idle, active west
