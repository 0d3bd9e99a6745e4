//! `hush sessions` and `hush account`: own devices at the server, the export, the end.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal as _, Write as _};
use std::path::Path;

use hushwire_client::{ClientError, OwnDevice};
use serde::Serialize;

use crate::contacts::answer;
use crate::failure::Failure;
use crate::history::moment;
use crate::home::Home;
use crate::output::Out;
use crate::session::Session;

/// Characters of a device's id that must be given, at least.
const BEGINNING_MIN: usize = 4;
/// Characters of it that are shown.
const SHOWN: usize = 8;
/// Progress of an export is told every so many bytes.
const TOLD_EVERY: u64 = 1024 * 1024;

/// A device in JSON.
#[derive(Serialize)]
struct Row {
    device: String,
    kind: u8,
    since_ms: u64,
    live: bool,
    current: bool,
}

impl From<&OwnDevice> for Row {
    fn from(own: &OwnDevice) -> Self {
        let OwnDevice { device, kind, since_ms, live, current } = *own;
        Self { device: device.to_base64url(), kind, since_ms, live, current }
    }
}

/// Lists the own devices.
///
/// # Errors
/// If the server cannot be reached.
pub(crate) async fn sessions(
    session: &mut Session,
    json: bool,
    out: &mut Out,
) -> Result<(), Failure> {
    let all = session.unless_stopped(async |client| client.sessions().await).await?;
    for own in &all {
        if json {
            out.json(&Row::from(own))?;
        } else {
            out.line(&words(own))?;
        }
    }
    Ok(())
}

fn words(own: &OwnDevice) -> String {
    let id: String = own.device.to_base64url().chars().take(SHOWN).collect();
    let kind = match own.kind {
        1 => "terminal",
        2 => "desktop",
        3 => "phone",
        4 => "browser",
        _ => "device",
    };
    let live = if own.live { "connected" } else { "away" };
    let this = if own.current { "  (this one)" } else { "" };
    format!("{id}  {kind}  since {}  {live}{this}", moment(own.since_ms))
}

/// Signs one out.
///
/// # Errors
/// If the beginning of the id means none, or more than one, or the server says no.
pub(crate) async fn end(
    session: &mut Session,
    beginning: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let all = session.unless_stopped(async |client| client.sessions().await).await?;
    let own = *pick(&all, beginning)?;
    session.unless_stopped(async |client| client.end_session(own.device).await).await?;
    out.line("Signed out: its connection and its tokens have ended.")?;
    out.line("It can sign in again. If it was stolen, this does not shut the thief out.")
}

fn pick<'a>(all: &'a [OwnDevice], beginning: &str) -> Result<&'a OwnDevice, Failure> {
    let mut found = all.iter().filter(|own| own.device.to_base64url().starts_with(beginning));
    match (found.next(), found.next()) {
        (Some(own), None) if beginning.len() >= BEGINNING_MIN => Ok(own),
        _ => Err(Failure::NoSuchDevice(beginning.to_owned())),
    }
}

/// Writes what the server holds into a new file.
///
/// # Errors
/// If the file is there, cannot be written, or the server does not give all of it: then there is
/// no file.
pub(crate) async fn export(
    session: &mut Session,
    path: &Path,
    out: &mut Out,
) -> Result<(), Failure> {
    let failed = |cause| Failure::ExportFile { path: path.to_owned(), cause };
    let mut file = new_file(path).map_err(failed)?;
    let written = write(session, &mut file, path).await;
    match written {
        Ok(bytes) => out.line(&format!("{bytes} bytes are in {}.", path.display())),
        Err(error) => {
            // Half an export is none.
            let _ = fs::remove_file(path);
            Err(error)
        }
    }
}

async fn write(session: &mut Session, file: &mut File, path: &Path) -> Result<u64, Failure> {
    let failed = |cause| Failure::ExportFile { path: path.to_owned(), cause };
    let mut export = session.unless_stopped(async |client| client.export_account().await).await?;
    let (mut bytes, mut told) = (0_u64, 0_u64);
    loop {
        let piece = tokio::select! {
            biased;
            () = session.stop.asked() => return Err(Failure::Interrupted),
            piece = export.next() => piece?,
        };
        let Some(piece) = piece else { break };
        file.write_all(&piece).map_err(failed)?;
        bytes += u64::try_from(piece.len()).unwrap_or(u64::MAX);
        if bytes / TOLD_EVERY > told && io::stderr().is_terminal() {
            told = bytes / TOLD_EVERY;
            // Beside the work: nobody may be reading it.
            let _ = writeln!(io::stderr(), "{told} MiB so far");
        }
    }
    file.sync_all().map_err(failed)?;
    Ok(bytes)
}

/// A file that was not there, for its owner only.
fn new_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Deletes the account, then what opens the store that was erased with it.
///
/// # Errors
/// If nobody confirms it, or the server says no: then nothing was erased.
pub(crate) async fn delete(
    session: &mut Session,
    home: &Home,
    yes: Option<&str>,
    out: &mut Out,
) -> Result<(), Failure> {
    let me = session.me.handle.clone();
    match yes {
        Some(name) if name == me => {}
        Some(_) => return Err(Failure::NotConfirmed("your username after --yes")),
        None => {
            for line in [
                format!("The account {me} will be deleted at the server, for ever."),
                "Your contacts are told. Nobody can take the name again, you included.".to_owned(),
                format!("Keys and history in {} are erased then.", home.folder.display()),
            ] {
                out.line(&line)?;
            }
            if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
                return Err(Failure::NotConfirmed("--yes USERNAME"));
            }
            out.ask("Type your username to delete it: ")?;
            if answer(session).await?.trim() != me {
                return Err(Failure::NotConfirmed("your username"));
            }
        }
    }
    // Not to be interrupted: what the server has done is to be followed here.
    match session.client.delete_account().await {
        Err(error @ ClientError::Refused(_)) if error.is_passing() => {
            return Err(Failure::NotDeleted(error));
        }
        done => done?,
    }
    home.remove().map_err(|cause| Failure::Leftover { folder: home.folder.clone(), cause })?;
    out.line(&format!("The account {me} is deleted, and its store here is erased."))
}

#[cfg(test)]
mod tests {
    use hushwire_client::DeviceId;

    use super::*;

    fn own(byte: u8) -> OwnDevice {
        OwnDevice { device: DeviceId([byte; 16]), kind: 1, since_ms: 0, live: true, current: true }
    }

    #[test]
    fn a_device_is_meant_by_the_beginning_of_its_id_and_only_by_that() {
        let all = [own(1), own(2)];
        assert_eq!(pick(&all, "AQEB").unwrap().device, DeviceId([1; 16]));
        for beginning in ["", "A", "AQE", "BBBB"] {
            let none = pick(&all, beginning);
            assert!(matches!(none, Err(Failure::NoSuchDevice(_))), "{beginning}");
        }
        let twins = [own(1), own(1)];
        assert!(pick(&twins, "AQEB").is_err());
        assert_eq!(
            words(&all[0]),
            "AQEBAQEB  terminal  since 1970-01-01 00:00Z  connected  (this one)"
        );
        let away = OwnDevice { live: false, current: false, kind: 9, ..own(3) };
        assert!(words(&away).ends_with("device  since 1970-01-01 00:00Z  away"));
    }

    #[test]
    fn an_export_is_for_its_owner_and_replaces_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all.json");
        drop(new_file(&path).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(new_file(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
