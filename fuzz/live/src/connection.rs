//! One connection as its script says, and the judgement of what the server answered.
//!
//! It reads all the while, so that the server is never held up by this side unless the script
//! cuts the connection; and it waits for the end, so that a server that keeps a dead connection
//! is found.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use hushwire_wire::Encoding;
use hushwire_wire::frame::ServerOp;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use crate::oracle::{self, Heard};
use crate::script::{Ending, Opening, Script};
use crate::world::{Person, World};
use crate::{http, ws};

/// How long the server may take to end a connection whose other side has ended.
const END: Duration = Duration::from_secs(30);
/// A moment, for [`Ending::Late`].
const MOMENT: Duration = Duration::from_millis(20);
/// Bytes of answers that are kept; more from one connection is a finding.
const KEPT: usize = 4 * 1024 * 1024;

/// How a connection went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Everything that was heard is allowed.
    Fine(Heard),
    /// It could not be opened as it should: displaced by another connection of the same device,
    /// or by a server that ends. The caller looks whether the server lives.
    Unopened(String),
    /// The server said or did what it must not.
    Finding(String),
}

/// Plays a script. `number` spreads the sources over the loopback's addresses, since ports are
/// fewer than connections.
pub(crate) async fn play(script: &Script, world: &World, number: u64) -> Outcome {
    let (mut stream, mut early) = match open(script.opening, world, number).await {
        Ok(opened) => opened,
        Err(why) => return Outcome::Unopened(why),
    };
    if script.ending == Ending::Cut {
        let bytes = script.bytes();
        let cut = async {
            write(&mut stream, script, &bytes).await?;
            stream.set_zero_linger()
        };
        // The server may end it first, and then has not taken everything.
        let _ = timeout(END, cut).await;
        return Outcome::Fine(Heard::default());
    }
    let bytes = script.bytes();
    let (mut reader, mut writer) = stream.split();
    let talk = async {
        let sends = async {
            let sent = write(&mut writer, script, &bytes).await;
            if script.ending == Ending::Late {
                sleep(MOMENT).await;
            }
            sent.and(writer.shutdown().await)
        };
        let hears = async {
            let mut chunk = vec![0; 16 * 1024];
            loop {
                match reader.read(&mut chunk).await {
                    Ok(0) | Err(_) => return Ok(()),
                    Ok(n) if early.len() + n > KEPT => return Err("more answers than asked for"),
                    Ok(n) => early.extend_from_slice(&chunk[..n]),
                }
            }
        };
        tokio::join!(sends, hears).1
    };
    match timeout(END, talk).await {
        Err(_) => {
            let why = format!("not ended within {} s, after {} bytes", END.as_secs(), early.len());
            return Outcome::Finding(why);
        }
        Ok(Err(why)) => return Outcome::Finding(why.to_owned()),
        Ok(Ok(())) => {}
    }
    let judged = match script.opening {
        Opening::Raw => oracle::http(&early),
        Opening::Upgraded(encoding) | Opening::SignedIn(encoding, _) => {
            oracle::frames(&early, encoding)
        }
    };
    match judged {
        Ok(heard) => Outcome::Fine(heard),
        Err(why) => Outcome::Finding(why),
    }
}

async fn write<W: AsyncWrite + Unpin>(to: &mut W, script: &Script, bytes: &[u8]) -> io::Result<()> {
    for piece in script.pieces(bytes) {
        to.write_all(piece).await?;
        if script.piece > 0 {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

/// Connects, and does what the script says comes first. Gives what was read beyond it.
async fn open(
    opening: Opening,
    world: &World,
    number: u64,
) -> Result<(TcpStream, Vec<u8>), String> {
    let stream = connect(world.address, number).await.map_err(|e| format!("connect: {e}"))?;
    match opening {
        Opening::Raw => Ok((stream, Vec::new())),
        Opening::Upgraded(encoding) => {
            let mut line = Line::upgrade(stream, world.address, encoding).await?;
            line.challenge().await?;
            Ok(line.into_parts())
        }
        Opening::SignedIn(encoding, person) => {
            let mut line = Line::upgrade(stream, world.address, encoding).await?;
            let (pair, who) = world.person(person);
            line.sign_in(&pair.people[who]).await?;
            Ok(line.into_parts())
        }
    }
}

async fn connect(to: SocketAddr, number: u64) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    let [a, b, ..] = number.to_le_bytes();
    socket.bind(SocketAddr::from(([127, 1 + b % 100, a, 1], 0)))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A WebSocket that keeps the rules, down to its bytes.
#[derive(Debug)]
pub(crate) struct Line {
    stream: TcpStream,
    encoding: Encoding,
    bytes: Vec<u8>,
}

impl Line {
    /// A signed-in connection.
    pub(crate) async fn open(
        address: SocketAddr,
        encoding: Encoding,
        person: &Person,
    ) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|e| format!("connect: {e}"))?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        let mut line = Self::upgrade(stream, address, encoding).await?;
        line.sign_in(person).await?;
        Ok(line)
    }

    async fn upgrade(
        stream: TcpStream,
        address: SocketAddr,
        encoding: Encoding,
    ) -> Result<Self, String> {
        let request = format!(
            "GET /v1/ws HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             sec-websocket-protocol: {}\r\n\r\n",
            encoding.subprotocol()
        );
        let mut line = Self { stream, encoding, bytes: Vec::new() };
        line.stream.write_all(request.as_bytes()).await.map_err(|e| format!("upgrade: {e}"))?;
        loop {
            let (answers, rest) = http::answers(&line.bytes)?;
            match answers.first() {
                Some(answer) if answer.status == 101 => {
                    line.bytes = rest.to_vec();
                    return Ok(line);
                }
                Some(answer) => return Err(format!("upgrade: status {}", answer.status)),
                None => line.more().await?,
            }
        }
    }

    async fn challenge(&mut self) -> Result<hushwire_wire::frame::Challenge, String> {
        match self.next().await? {
            ServerOp::Challenge(challenge) => Ok(challenge),
            other => Err(format!("{other:?} instead of a challenge")),
        }
    }

    async fn sign_in(&mut self, person: &Person) -> Result<(), String> {
        let challenge = self.challenge().await?;
        let hello = self.encoding.encode_client(&person.hello(&challenge.nonce));
        self.send(&hello).await?;
        match self.next().await? {
            ServerOp::Welcome(welcome) => {
                person.renew(welcome.token);
                Ok(())
            }
            other => Err(format!("{other:?} instead of a welcome")),
        }
    }

    /// Sends an encoded operation.
    pub(crate) async fn send(&mut self, payload: &[u8]) -> Result<(), String> {
        let opcode = if self.encoding == Encoding::Json { 1 } else { 2 };
        let mut frame = Vec::new();
        ws::Head::whole(opcode, payload.len(), [1, 2, 3, 4]).write(payload, &mut frame);
        self.stream.write_all(&frame).await.map_err(|error| format!("send: {error}"))
    }

    /// The next operation of the server. Pings are answered on the way.
    pub(crate) async fn next(&mut self) -> Result<ServerOp, String> {
        loop {
            let Some((frame, used)) = ws::frame(&self.bytes)? else {
                self.more().await?;
                continue;
            };
            let (opcode, payload) = (frame.opcode, frame.payload.to_vec());
            self.bytes.drain(..used);
            match opcode {
                1 | 2 => {
                    let frame = self.encoding.decode_server(&payload);
                    return frame.map(|frame| frame.op).map_err(|error| error.to_string());
                }
                9 => {
                    let mut pong = Vec::new();
                    ws::Head::whole(10, payload.len(), [0; 4]).write(&payload, &mut pong);
                    self.stream.write_all(&pong).await.map_err(|error| error.to_string())?;
                }
                8 => return Err(format!("closed: {}", String::from_utf8_lossy(&payload))),
                _ => {}
            }
        }
    }

    async fn more(&mut self) -> Result<(), String> {
        let read = timeout(END, self.stream.read_buf(&mut self.bytes)).await;
        match read.map_err(|_| format!("nothing came for {} s", END.as_secs()))? {
            Ok(0) => Err("the connection ended".to_owned()),
            Ok(_) => Ok(()),
            Err(error) => Err(format!("receive: {error}")),
        }
    }

    fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.bytes)
    }
}
