//! Asks a running QEMU and the simulated machine the same questions, and compares the answers.
//!
//! The simulated machine stands for one release, so only that one is compared. Any difference that
//! is not explained fails the test: another kind of answer, another class or text of an error, other
//! events of jobs. Values are not compared, because they depend on the host and the guest.

#![cfg(unix)]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, missing_docs)] // tests

mod descriptors;

mod machines;

use std::collections::BTreeSet;

use conformance::Scratch;
use serde_json::{Value, json};

use machines::{Answer, Client, prepare, qemu_img, same_release};

/// A command, and why its answers may differ.
struct Question {
    command: String,
    reason: Option<String>,
}

/// Returns the questions of each section.
fn sections() -> Vec<(String, Vec<Question>)> {
    let mut sections: Vec<(String, Vec<Question>)> = Vec::new();
    for line in include_str!("questions.txt").lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name.to_owned(), Vec::new()));
        } else if let Some(reason) = line.strip_prefix("! ") {
            let last = sections.last_mut().and_then(|(_, questions)| questions.last_mut());
            last.unwrap().reason = Some(reason.to_owned());
        } else if line.starts_with('{') {
            let question = Question { command: line.to_owned(), reason: None };
            sections.last_mut().unwrap().1.push(question);
        }
    }
    sections.push(("properties".to_owned(), properties()));
    sections
}

/// Returns questions about the properties of devices, with values of wrong types.
fn properties() -> Vec<Question> {
    let drivers = [
        "e1000",
        "nvme",
        "pc-dimm",
        "qemu-xhci",
        "usb-tablet",
        "virtio-blk-pci",
        "virtio-net-pci",
        "virtio-rng-pci",
        "virtio-scsi-pci",
        "virtio-serial-pci",
    ];
    let mut commands = vec![json!({"driver": "qemu-xhci", "id": "controller"})];
    let (mut driver, mut count) = (None, 0);
    for line in include_str!("../../../qmp-server/facts/devices.txt").lines() {
        let Some(property) = line.strip_prefix(' ') else {
            driver = drivers.into_iter().find(|name| line.split(' ').next() == Some(*name));
            continue;
        };
        let mut words = property.split(' ');
        let (Some(driver), Some(name), Some(kind)) = (driver, words.next(), words.next()) else {
            continue;
        };
        let is_text = matches!(kind, "str" | "busnr");
        for value in [json!("zz"), json!([1]), json!({})] {
            let is_valid = is_text && value.is_string();
            if !(is_valid || kind.starts_with("child")) {
                count += 1;
                commands.push(json!({"driver": driver, "id": format!("q{count}"), name: value}));
            }
        }
    }
    for driver in drivers {
        commands.push(json!({"driver": driver, "id": "q", "nope": 1}));
    }
    let question = |arguments: Value| Question {
        command: json!({"execute": "device_add", "arguments": arguments}).to_string(),
        reason: None,
    };
    commands.into_iter().map(question).collect()
}

/// Answers all questions of a section, up to one that ends the machine: some end QEMU.
fn answers(mut client: Client, questions: &[Question], directory: &str, jobs: bool) -> Vec<Answer> {
    let asked = questions.iter().map(|question| {
        let command = question.command.replace("DIR", directory);
        client.ask(&serde_json::from_str(&command).unwrap(), jobs)
    });
    asked.map_while(|answer| answer).collect()
}

/// Returns the names of all commands of a machine.
fn commands(mut client: Client) -> BTreeSet<String> {
    let reply = client.execute(&json!({"execute": "query-commands"}), &mut Vec::new()).unwrap();
    let names = reply["return"].as_array().unwrap().iter();
    names.map(|info| info["name"].as_str().unwrap().to_owned()).collect()
}

/// Each command is simulated, or the reason is known why it is not.
#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn commands_are_simulated_or_explained() {
    let Some(qemu) = same_release() else {
        println!("the QEMU that the simulated machine stands for is not installed");
        return;
    };
    let scratch = Scratch::new();
    prepare(&scratch, &qemu_img(&qemu));
    let expected = commands(Client::of_qemu(&qemu, &scratch));
    let simulated = commands(Client::of_simulator());
    let missing: BTreeSet<String> = expected.difference(&simulated).cloned().collect();
    let lines = include_str!("not_simulated.txt").lines();
    let explained = lines.filter(|line| !line.starts_with('#'));
    let explained = explained.filter_map(|line| Some(line.split_once(": ")?.0.to_owned()));
    assert_eq!(missing, explained.collect());
    assert_eq!(simulated.difference(&expected).next(), None);
}

#[test]
#[cfg_attr(not(qemu), ignore = "needs QEMU")]
fn the_simulated_machine_answers_as_qemu_does() {
    let Some(qemu) = same_release() else {
        println!("the QEMU that the simulated machine stands for is not installed");
        return;
    };
    let img = qemu_img(&qemu);
    let (mut count, mut explained, mut differences) = (0, 0, Vec::new());
    for (name, questions) in sections() {
        let jobs = name == "jobs";
        let scratch = Scratch::new();
        let directory = scratch.path().display().to_string();
        prepare(&scratch, &img);
        let client = Client::of_qemu(&qemu, &scratch);
        let expected = answers(client, &questions, &directory, jobs);
        // The simulated machine starts with the files as they were.
        let scratch = Scratch::new();
        let own_directory = scratch.path().display().to_string();
        prepare(&scratch, &img);
        let got = answers(Client::of_simulator(), &questions, &own_directory, jobs);
        assert!(got.len() >= expected.len(), "{name}: the simulated machine has ended");
        println!("{name}: {} of {} questions", expected.len(), questions.len());
        for ((question, expected), mut got) in questions.iter().zip(expected).zip(got) {
            count += 1;
            if let Some((_, desc)) = &mut got.error {
                *desc = desc.replace(&own_directory, &directory);
            }
            match &question.reason {
                _ if got == expected => {}
                Some(_) => explained += 1,
                None => differences.push(format!(
                    "{}\n  QEMU:      {expected:?}\n  simulated: {got:?}",
                    question.command
                )),
            }
        }
    }
    println!("{count} questions, {explained} explained differences");
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
