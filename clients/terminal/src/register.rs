//! `hush register`: the folder, the keys, the name.

use std::sync::Arc;

use hushwire_client::{ClientError, Device, NetTransport, Outside, Wishes};

use crate::escape;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::Out;
use crate::session::runtime;

/// Registers `name` at `server` with the store in `home`, as `wishes` say.
///
/// # Errors
/// If the address is none, the store does not open, or the server refuses.
pub(crate) fn run(
    home: &Home,
    name: &str,
    server: &str,
    wishes: Wishes<'_>,
    out: &mut Out,
) -> Result<(), Failure> {
    // What can be judged without leaving a trace comes first.
    let transport = NetTransport::new(server).map_err(Failure::Address)?;
    let is_new = !home.store().exists();
    let key = home.key(is_new)?;
    home.make()?;
    let mut device = Device::open(&home.store(), &key).map_err(Failure::Open)?;
    if device.server()?.is_some() {
        return Err(ClientError::HasAccount.into());
    }
    if is_in_the_clear(server) {
        out.line(&out.paint().loud(
            "!! http:// to another machine: whoever is on the way sees who talks to whom. Use \
             https://",
        ))?;
    }
    let outside = Outside::new(Arc::new(transport));
    let runtime = runtime()?;
    runtime.block_on(async {
        tokio::select! {
            biased;
            _ = tokio::signal::ctrl_c() => Err(Failure::Interrupted),
            done = device.register_with(&outside, server, name, wishes) => Ok(done?),
        }
    })?;
    out.line(&format!("You are {name} at {}.", escape::line(server)))?;
    out.line(&format!("Your keys are in {} and nowhere else.", home.folder.display()))?;
    out.line(&format!("They are opened by {}.", home.key_words()))?;
    out.line("Next: `hush contacts add NAME`, or give the link that `hush whoami` prints.")
}

/// Whether the way to a server can be read: HTTP without TLS that leaves this machine.
fn is_in_the_clear(server: &str) -> bool {
    let Some(rest) = server.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    let is_loopback = host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    !is_loopback && host != "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::home::Unlock;

    #[test]
    fn plain_http_is_fine_on_this_machine_only() {
        for fine in
            ["https://x.org", "http://127.0.0.1:8080", "http://localhost/", "http://[::1]:9"]
        {
            assert!(!is_in_the_clear(fine), "{fine}");
        }
        for clear in
            ["http://x.org", "http://10.0.0.1:80", "http://localhost.x.org", "http://[::2]"]
        {
            assert!(is_in_the_clear(clear), "{clear}");
        }
    }

    #[test]
    fn a_wrong_address_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home { folder: dir.path().join("h"), unlock: Unlock::KeyFile(None) };
        let done = run(&home, "alice", "chat.example.org", Wishes::default(), &mut Out::stdout());
        assert!(matches!(done, Err(Failure::Address(_))));
        assert!(!home.folder.exists());
    }
}
