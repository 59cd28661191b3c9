//! SIGHUP: keys, certificates and the list of the revoked are read again, without a link that is there being touched, unless its
//! holder is revoked.

use cluster_manager::{Cluster, Pki};
use tokio::signal::unix::Signal;

use crate::settings::Settings;

/// Reads them again whenever the signal comes. Never ends.
pub(crate) async fn on(mut hang_up: Signal, settings: &Settings, cluster: &Cluster) {
    while hang_up.recv().await.is_some() {
        // Each for itself: a certificate that is damaged must not keep somebody in who is revoked.
        match revoke(settings, cluster) {
            Ok(ended) => tracing::warn!(ended, "the list of the revoked was read again"),
            Err(reason) => {
                tracing::error!(%reason, "the list of the revoked was not read: whoever was revoked stays so")
            }
        }
        match credentials(settings, cluster) {
            Ok(()) => tracing::warn!("key and certificate were read again and are in use"),
            Err(reason) => tracing::error!(%reason, "key and certificate were not read: those before stay in use"),
        }
    }
    std::future::pending().await
}

fn revoke(settings: &Settings, cluster: &Cluster) -> Result<usize, String> {
    let revoked = Pki::new(&settings.pki).revocations().map_err(|e| e.to_string())?;
    Ok(cluster.revoke(revoked))
}

fn credentials(settings: &Settings, cluster: &Cluster) -> Result<(), String> {
    let credentials = Pki::new(&settings.pki).load(&settings.name).map_err(|e| e.to_string())?;
    cluster.reload(&credentials).map_err(|e| e.to_string())
}
