//! Links over real QUIC on loopback: what holds between two pools, and what a stranger can and cannot do.

mod clients;
mod corpus;
mod hostile;
mod limits;
mod links;
mod node;
mod peers;
mod peers_at_limits;
mod speakers;
mod strangers;
