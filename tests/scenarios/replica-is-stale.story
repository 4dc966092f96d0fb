# SCENARIOS 13: replication broke long ago and nobody noticed. The mesh did: a failover would not succeed from then on, and
# it says what would be lost. When the primary dies it promotes nothing, until a person takes the loss upon itself.
mesh 5 voters 3 regions
app shop database
start
----
shop: epoch 1 apply idle, active east
  shop/east/db: Up, primary, timeline 1
  shop/west/db: Up, replica, timeline 1, streams

sever shop west
run 120s
why a1 shop
----
a1 on shop: east stands: nobody whose word counts sees it down
  not ready: west: db had not streamed for 30 s when its primary was last seen, and lacks 476541 bytes

stack shop east dark
run 60s
why a1 shop
state
----
  220.000 *     shop/east: web is Dark
  220.000 *     shop/east/db is Dark
  229.179 a2    holds shop/east for standing: 1 of 5 voters see it down (and a5 a3 a1 a4)
  229.179 a2    leaves shop alone: east stands: 1 of 5 voters see it down, 3 are needed (and a5 a3 a1 a4)
  229.383 a3    holds shop/east for standing: 2 of 5 voters see it down (and a1 a4 a2 a5)
  229.383 a3    leaves shop alone: east stands: 2 of 5 voters see it down, 3 are needed (and a1 a4 a2 a5)
  229.513 a1    holds shop/east for down: 3 of 5 voters see it down (and a4 a3 a2 a5)
  229.513 a1    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 0 down, 0 up of 5 (and a4 a3 a2 a5)
  229.582 a2    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 1 down, 0 up of 5 (and a5 a3 a1 a4)
  229.970 a5    holds shop/east for down: 4 of 5 voters see it down (and a2 a3 a1 a4)
  230.513 a4    leaves shop alone: the web of east is down, and its database is neither down nor up for a majority: 2 down, 0 up of 5 (and a1 a3 a2 a5)
  230.613 a3    leaves shop alone: west is not fit: db had not streamed for 30 s when its primary was last seen, and lacks 476541 bytes (and a1 a4 a2 a5)
  230.926 a2    holds shop/east for down: 5 of 5 voters see it down (and a5 a3 a1 a4)
a1 on shop: west is not fit: db had not streamed for 30 s when its primary was last seen, and lacks 476541 bytes
  not ready: west: db had not streamed for 30 s when its primary was last seen, and lacks 476541 bytes
shop: epoch 1 apply idle, active east
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, replica, timeline 1

# A person who does not say so loses nothing either.
failover a1 shop west
run 15s
state
----
  280.076 a1    answers: Refused("west is not fit: db had not streamed for 30 s when its primary was last seen, and lacks 476541 bytes")
shop: epoch 1 apply idle, active east
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, replica, timeline 1

failover a1 shop west accept-loss
until shop promoting within 90s
until shop settled within 90s
state
----
  295.110 a1    learns shop epoch 2 fencing at 6.41cd: forced failover, active east, carried out by a1 (forced failover asked for by operator) (and a4 a3 a2 a5)
  300.110 a1    failed for shop with 2.1.1: no answer within 5000 ms
  300.178 a1    learns shop epoch 2 promoting at 7.41cd: forced failover, active east, carried out by a1 (forced failover asked for by operator) (and a4 a3 a2 a5)
  300.184 *     promote with 2.1.3 of a1: promoted to timeline 2
  300.284 a1    learns shop epoch 2 publishing at 8.41cd: forced failover, active west, carried out by a1 (forced failover asked for by operator) (and a4 a3 a2 a5)
  300.352 a1    learns shop epoch 2 verifying at 9.41cd: forced failover, active west, carried out by a1 (forced failover asked for by operator) (and a4 a3 a2 a5)
  300.420 a1    learns shop epoch 2 idle at 10.41cd: forced failover, active west (forced failover asked for by operator) (and a4 a3 a2 a5)
shop: epoch 2 forced failover idle, active west
  shop/east/db: Dark, primary, timeline 1
  shop/west/db: Up, primary, timeline 2
