use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;
use std::time::Instant;

use super::*;

const PATIENCE: Duration = Duration::from_secs(20);

/// A server that answers what it hears, and tells the lengths of what it read and its end.
fn echo() -> (SocketAddr, Receiver<usize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = sync_channel(100_000);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, tell) = (stream.unwrap(), tell.clone());
            thread::spawn(move || {
                let mut piece = [0; 65_536];
                while let Ok(length) = stream.read(&mut piece) {
                    let _ = tell.send(length);
                    if length == 0 || stream.write_all(&piece[..length]).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, told)
}

fn open(proxy: &Proxy) -> TcpStream {
    let stream = TcpStream::connect(proxy.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

fn hear(stream: &mut TcpStream, bytes: usize) -> Vec<u8> {
    let mut heard = vec![0; bytes];
    stream.read_exact(&mut heard).unwrap();
    heard
}

fn through(weather: Weather) -> (Proxy, TcpStream, Receiver<usize>) {
    let (address, told) = echo();
    let proxy = Proxy::start(vec![address], 1).unwrap();
    let mut stream = open(&proxy);
    stream.write_all(b"hello").unwrap();
    assert_eq!(hear(&mut stream, 5), b"hello");
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 5);
    proxy.set_weather(weather);
    (proxy, stream, told)
}

/// Whether the other side has ended the connection, in good order or not.
fn has_ended(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 64];
    match stream.read(&mut rest) {
        Ok(length) => length == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

#[test]
fn in_fair_weather_everything_passes_both_ways() {
    let (proxy, mut stream, _) = through(Weather::default());
    let much: Vec<u8> = (0..1_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let mut other = stream.try_clone().unwrap();
    let sent = much.clone();
    let sender = thread::spawn(move || other.write_all(&sent).unwrap());
    assert_eq!(hear(&mut stream, much.len()), much);
    sender.join().unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(has_ended(&mut stream), "an end passes, too");
    assert_eq!(proxy.counts(), Counts { connections: 1, ..Counts::default() });
}

#[test]
fn a_delay_delays_and_loses_nothing() {
    let (_proxy, mut stream, _) = through(Weather { delay_ms: 400, ..Weather::default() });
    let started = Instant::now();
    for _ in 0..5 {
        stream.write_all(b"ping").unwrap();
        assert_eq!(hear(&mut stream, 4), b"ping");
    }
    // Ten delays of 200 ms in the mean, drawn from the seed.
    assert!(started.elapsed() > Duration::from_millis(400), "{:?}", started.elapsed());
}

#[test]
fn slices_are_small_and_in_order() {
    let (_proxy, mut stream, told) = through(Weather { slice: 3, ..Weather::default() });
    let text: Vec<u8> = (0..=255).collect();
    stream.write_all(&text).unwrap();
    assert_eq!(hear(&mut stream, text.len()), text);
    let first = told.recv_timeout(PATIENCE).unwrap();
    assert!(first < text.len(), "it came in pieces: {first}");
}

#[test]
fn a_cut_ends_both_sides() {
    let (proxy, mut stream, told) = through(Weather { cut: 1_000, ..Weather::default() });
    assert!(has_ended(&mut stream));
    assert_eq!(proxy.counts().cuts, 1);
    // The server saw an end or a reset: its channel ends or tells 0.
    assert!(
        told.recv_timeout(Duration::from_secs(2)).is_ok_and(|n| n == 0) || told.try_recv().is_err()
    );
}

#[test]
fn all_can_be_cut_at_once_and_new_ones_pass() {
    let (proxy, mut stream, _) = through(Weather::default());
    let mut second = open(&proxy);
    second.write_all(b"x").unwrap();
    assert_eq!(hear(&mut second, 1), b"x");
    proxy.cut_all();
    assert!(has_ended(&mut stream) && has_ended(&mut second));
    let mut third = open(&proxy);
    third.write_all(b"y").unwrap();
    assert_eq!(hear(&mut third, 1), b"y");
}

#[test]
fn a_half_close_ends_one_direction_only() {
    let (proxy, mut stream, told) = through(Weather { half_close: 1_000, ..Weather::default() });
    let until = Instant::now() + PATIENCE;
    while proxy.counts().half_closes == 0 {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(10));
    }
    proxy.set_weather(Weather::default());
    // Either the server hears the end, or the client does; what goes the other way still goes.
    match told.recv_timeout(Duration::from_millis(500)) {
        Ok(0) => assert!(has_ended(&mut stream), "the echo ends when it has heard all"),
        _ => {
            assert!(has_ended(&mut stream));
            stream.write_all(b"still").unwrap();
            assert_eq!(told.recv_timeout(PATIENCE).unwrap(), 5);
        }
    }
    assert_eq!(proxy.counts().cuts, 0);
}

#[test]
fn a_hole_holds_one_direction_and_gives_back_all_of_it() {
    for (way, arrives) in [(Way::Up, false), (Way::Down, true)] {
        let (proxy, mut stream, told) = through(Weather::default());
        proxy.hole(way, Duration::from_secs(3));
        // Until the proxy's thread has heard of it.
        thread::sleep(Duration::from_millis(500));
        stream.write_all(b"held").unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let mut rest = [0; 4];
        assert!(stream.read(&mut rest).is_err(), "nothing comes back");
        assert_eq!(told.try_recv().is_ok(), arrives, "only one direction stands still");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        assert_eq!(hear(&mut stream, 4), b"held", "it comes when the hole is over");
    }
}

#[test]
fn single_connections_fall_into_holes_by_chance() {
    let weather = Weather { hole: 1_000, hole_ms: 50, ..Weather::default() };
    let (proxy, mut stream, _) = through(weather);
    for _ in 0..20 {
        stream.write_all(b"ping").unwrap();
        assert_eq!(hear(&mut stream, 4), b"ping");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(proxy.counts().holes > 0);
}

#[test]
fn a_server_that_is_gone_is_passed_over_and_upstreams_can_change() {
    let (one, _told) = echo();
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let proxy = Proxy::start(vec![nobody, one], 3).unwrap();
    for _ in 0..8 {
        let mut stream = open(&proxy);
        stream.write_all(b"x").unwrap();
        assert_eq!(hear(&mut stream, 1), b"x");
    }
    proxy.set_upstreams(vec![nobody]);
    assert!(has_ended(&mut open(&proxy)));
}

#[test]
fn connections_past_the_bound_wait_until_one_ends() {
    let (address, _told) = echo();
    let most = 8;
    let proxy = Proxy::start_within(vec![address], 1, most).unwrap();
    let mut first = open(&proxy);
    let held: Vec<_> = (1..most).map(|_| open(&proxy)).collect();
    first.write_all(b"x").unwrap();
    assert_eq!(hear(&mut first, 1), b"x");
    let mut last = open(&proxy);
    last.write_all(b"y").unwrap();
    last.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut rest = [0; 1];
    assert!(last.read(&mut rest).is_err(), "there is no room for it");
    drop(held);
    last.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!(hear(&mut last, 1), b"y");
}
