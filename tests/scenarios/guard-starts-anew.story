# A guard starts anew within its lease, though after more than the voters' window: the kernel holds the door meanwhile, and
# nothing is decided.
mesh 5 voters 3 regions 2 guards
app shop synchronous guards=a6,a7
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

kill a6
run 9s
restart a6
run 10s
state
----
  100.000 a6    is killed
  109.003 a6    holds shop/east for standing: 1 of 5 voters see it down
  109.003 a6    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed
  109.020 a6    holds shop/east for standing: 2 of 5 voters see it down
  109.020 a6    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed
  109.043 a3    holds shop/east for down: 5 of 5 voters see it down (and a2 a5 a7)
  109.058 a7    leaves shop alone: database of east down for 5 of 5 voters in 3 regions: it is up, but the guard of db is silent, and so its door is shut; others will propose: this agent is an observer
  109.375 a1    holds shop/east for down: 4 of 5 voters see it down (and a4 a3 a2 a5)
  109.375 a1    leaves shop alone: shop/west/db still streams from east: the mesh is blind, not the stack dead (and a4 a3 a2 a5)
  109.500 a1    holds shop/east for standing: 0 of 5 voters see it down (and a4 a3 a6 a2 a5 a7)
  109.534 a6    holds open shop/east
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut

# Cut off from every voter, but not from the guard of the only candidate: it goes on by that one's word.
part a6 a1
part a6 a2
part a6 a3
part a6 a4
part a6 a5
run 40s
state
----
  125.076 a6    holds open by the candidates' word shop/east
  141.000 a6    abstains: hears no majority of voters
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1, its door is open
  shop/west/db: Up, replica, timeline 1, streams, its door is shut
