# A guard dies and is gone for good; the definition names another. The voters wait for it to say that it knows, which it never
# will: it may hold its door open by the word of candidates that another may be promoted beside (PROTOCOL.md 0.1 g). Somebody
# who knows that its host is off starts an agent of its name anywhere, with an empty folder: that one guards nothing.
mesh 5 voters 3 regions 3 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

kill a6
apply a2 shop guards=a8,a7
run 15s
why a2 shop
state
----
  100.000 a6    is killed
  100.139 a2    learns shop epoch 2 publishing at 5.bfcd: apply, active east (definition revision 2) (and a5 a7 a3 a8 a1 a4)
  100.208 a8    holds open shop/east
  100.277 a8    learns shop epoch 2 publishing at 6.90d6: apply, active east, carried out by a8 (definition revision 2) (and a3 a1 a4 a2 a5 a7)
  100.345 a8    learns shop epoch 2 verifying at 7.90d6: apply, active east, carried out by a8 (definition revision 2) (and a3 a1 a4 a2 a5 a7)
  100.414 a8    learns shop epoch 2 idle at 8.90d6: apply, active east (definition revision 2) (and a3 a1 a4 a2 a5 a7)
a2 on shop: east stands: nobody whose word counts sees it down
  not ready: a2 would refuse: a6 has not said that it knows who could be promoted
shop: epoch 2 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

wipe a6
run 15s
why a2 shop
state
----
  115.000 a6    loses its disk
  116.000 a6    learns shop epoch 2 idle at 8.90d6: apply, active east (definition revision 2)
a2 on shop: east stands: nobody whose word counts sees it down
shop: epoch 2 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

host shop east dies
until shop settled within 60s
state
----
  130.000 *     shop/east: web is Dark
  130.000 *     shop/east/db is Dark
  130.000 a8    is killed
  138.968 a1    holds shop/east for standing: 1 of 5 voters see it down (and a4 a3 a2 a7 a6)
  138.968 a1    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a4 a3 a2 a7 a6)
  138.993 a5    holds shop/east for standing: 2 of 5 voters see it down (and a1 a2 a7 a3 a4 a6)
  138.993 a5    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a2 a7 a3 a4 a6)
  139.028 a3    holds shop/east for down: 3 of 5 voters see it down (and a1 a4 a6 a2 a5 a7)
  139.029 a6    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent started too recently
  139.031 a1    holds shop/east for down: 4 of 5 voters see it down (and a6 a3 a2 a5 a7)
  139.031 a6    leaves shop alone: database of east down for 4 of 5 voters in 3 regions; others will propose: this agent started too recently
  139.041 a7    leaves shop alone: database of east down for 3 of 5 voters in 2 regions; others will propose: this agent is an observer
  139.045 a3    holds shop/east for down: 5 of 5 voters see it down (and a1 a6 a2 a5 a7)
  139.047 a7    leaves shop alone: database of east down for 4 of 5 voters in 3 regions; others will propose: this agent is an observer
  139.048 a6    leaves shop alone: database of east down for 5 of 5 voters in 3 regions; others will propose: this agent started too recently
  139.064 a7    leaves shop alone: database of east down for 5 of 5 voters in 3 regions; others will propose: this agent is an observer
  139.139 a4    learns shop epoch 3 fencing at 9.89d0: failover, active east, carried out by a4 (database of east down for 5 of 5 voters in 3 regions) (and a1 a6 a3 a2 a5 a7)
  139.249 a4    learns shop epoch 3 promoting at 10.89d0: failover, active east, carried out by a4 (database of east down for 5 of 5 voters in 3 regions) (and a1 a6 a3 a2 a5 a7)
  139.357 a7    holds open shop/west
  139.498 *     promote with 3.1.3 of a7: promoted to timeline 2
  139.629 a4    learns shop epoch 3 publishing at 11.89d0: failover, active west, carried out by a4 (database of east down for 5 of 5 voters in 3 regions) (and a1 a6 a3 a2 a5 a7)
  139.697 a4    learns shop epoch 3 verifying at 12.89d0: failover, active west, carried out by a4 (database of east down for 5 of 5 voters in 3 regions) (and a1 a6 a3 a2 a5 a7)
  139.896 a4    learns shop epoch 3 idle at 13.89d0: failover, active west (database of east down for 5 of 5 voters in 3 regions) (and a1 a6 a3 a2 a5 a7)
shop: epoch 3 failover idle, active west
  shop/east/db: Dark, primary, timeline 1, its door is shut
  shop/west/db: Up, primary, timeline 2, its door is open
