/* sim_peers.h — what nodes know of each other: who is a member, who is held for dead, and what they do about it.
 *
 * Why:    takeover, fencer, rivals and placement ask the group who is in it, and take seats and fence producers of
 *         others. The real code does so here over the simulated group.
 * Thread: one.
 * Owns:   nothing; the parts belong to the node.
 */
#ifndef ALV_TESTS_SIM_PEERS_H
#define ALV_TESTS_SIM_PEERS_H

#include "tests/sim/sim_node.h"

/* Makes takeover, fencer and rivals of a node that starts; ends them. */
void sim_peers_start(sim_node *node);
void sim_peers_stop(sim_node *node);

/* The group has answered who is a member: standbys are placed, rivals and fencer hear of it. */
void sim_peers_look(sim_node *node);

/* The node thinks that another one is dead, or not any more, for no reason: a verdict that is wrong must do no
 * harm. What its monitor finds is another matter, and either is enough. */
void sim_peers_think(sim_node *node, int other, bool dead);

#endif
