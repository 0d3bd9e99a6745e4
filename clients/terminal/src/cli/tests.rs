use clap::CommandFactory as _;

use super::*;

fn parse(args: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(args.split_whitespace())
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn examples_of_the_help_parse() {
    for good in [
        "hush register alice --server https://chat.example.org",
        "hush contacts add bob",
        "hush contacts accept alice",
        "hush contacts accept alice@chat.example.org#aeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaqcaibaeaq",
        "hush contacts verify bob",
        "hush contacts list --json",
        "hush contacts acknowledge bob",
        "hush contacts acknowledge bob 5",
        "hush contacts verify bob --yes 000000000000000000000000000000000000000000000000000000000000",
        "hush contacts renew bob",
        "hush register alice --server https://10.0.0.7 --domain chat.example.org",
        "hush chat bob --json --home x",
        "hush --home x chat bob",
        "hush send bob - --wait delivered --timeout 120",
        "hush send bob -5",
        "hush send bob one two three --wait sent",
        "hush chat bob --json --commands",
        "hush edit bob last better",
        "hush edit bob kX3f - --json",
        "hush remove bob last --wait delivered",
        "hush react bob last +",
        "hush react bob kX3f0_-a --off",
        "hush timer bob",
        "hush timer bob 7d --timeout 5",
        "hush timer bob off",
        "hush profile Alice",
        "hush profile --off",
        "hush profile --json",
        "hush history bob --ids",
        "hush contacts decline bob",
        "hush contacts remove bob --yes",
        "hush contacts block bob",
        "hush contacts unblock bob",
        "hush presence",
        "hush presence on --to bob --to carol",
        "hush presence off",
        "hush sessions list --json",
        "hush sessions end -_aB",
        "hush account export all.json",
        "hush account delete --yes alice",
        "hush chat bob --no-typing",
        "hush listen --json --count 3 --for 60",
        "hush history bob --limit 5 --json",
        "hush whoami --passphrase",
        "hush whoami --key-file k",
    ] {
        assert!(parse(good).is_ok(), "{good}: {:?}", parse(good).err());
    }
}

#[test]
fn wrong_use_is_refused_with_code_2() {
    for bad in [
        "hush",
        "hush register alice",
        "hush register Al --server http://x",
        "hush register alice@x#y --server http://x",
        "hush contacts add b@d",
        "hush contacts accept b@d",
        "hush contacts verify bob --yes",
        "hush contacts acknowledge bob all",
        "hush chat",
        "hush chat ../x",
        "hush send bob",
        "hush send bob hello --wait read",
        "hush send bob 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17",
        "hush edit bob last",
        "hush edit bob abc words",
        "hush edit bob last two words",
        "hush remove bob",
        "hush react bob last",
        "hush react bob last + --off",
        "hush timer bob soon",
        "hush timer bob 0s",
        "hush profile Alice --off",
        "hush send bob hello --timeout -1",
        "hush contacts block",
        "hush contacts unblock bob --yes",
        "hush presence maybe",
        "hush presence --to bob",
        "hush sessions end",
        "hush account export",
        "hush account delete --yes",
        "hush listen --count 0",
        "hush listen --for 0",
        "hush history bob --limit 0",
        "hush whoami --passphrase --passphrase-file p",
        "hush whoami --passphrase --key-file k",
        "hush whoami --passphrase-file p --key-file k",
    ] {
        let error = parse(bad).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{bad}: {error}");
    }
}

#[test]
fn what_opens_the_store_follows_the_flags() {
    let unlock = |args: &str| parse(args).unwrap().store.home().unwrap().unlock;
    assert!(matches!(unlock("hush --home h whoami"), Unlock::KeyFile(None)));
    assert!(matches!(unlock("hush --home h --key-file k whoami"), Unlock::KeyFile(Some(_))));
    assert!(matches!(unlock("hush --home h --passphrase whoami"), Unlock::Ask));
    let file = unlock("hush --home h --passphrase-file p whoami");
    assert!(matches!(file, Unlock::PassphraseFile(_)));
}

#[test]
fn the_help_names_every_exit_code_and_event() {
    let mut command = Cli::command();
    let help = command.render_long_help().to_string();
    for code in ["0  done", "1  failed", "2  wrong use", "3  not", "4  the server", "130"] {
        assert!(help.contains(code), "{code}");
    }
    for event in crate::render::EVENTS {
        assert!(JSON.contains(event), "{event}");
    }
}
