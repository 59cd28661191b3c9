//! Links over real QUIC on loopback: what holds between two pools, and what a stranger can and cannot do.

mod clients;
mod corpus;
mod greeting;
mod hostile;
mod limits;
mod links;
mod node;
mod peers;
mod peers_at_limits;
mod refusals;
mod said;
mod seam;
mod speakers;
mod strangers;
