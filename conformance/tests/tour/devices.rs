//! Devices, objects, character devices and network back ends.

use std::io::Read;
use std::os::unix::net::UnixStream;

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{DeviceDeleted, NetdevStreamConnected, NetdevStreamDisconnected};
use qmp_client::qmp::types::{
    ChardevBackend, ChardevCommon, ChardevCommonWrapper, ChardevRingbuf, ChardevRingbufWrapper,
    ChardevSocket, ChardevSocketWrapper, DataFormat, Netdev, NetdevHubPortOptions,
    NetdevStreamOptions, NetdevType, ObjectOptions, ObjectOptionsQomType, RngProperties,
    SecretProperties, SocketAddress, SocketAddressLegacy, UnixSocketAddress,
    UnixSocketAddressWrapper, YankInstance, YankInstanceChardev,
};
use serde_json::json;

use crate::stage::{Guide, Tour, connect, scratch};

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let options = "-M q35,accel=tcg -m 32 -device qemu-xhci,id=xhci \
                   -device virtio-scsi-pci,id=scsi0 -device rocker,name=sw1 \
                   -netdev hubport,id=hub0,hubid=0 -object iothread,id=io0 \
                   -device virtio-net-pci,netdev=hub0,id=nic0,romfile=";
    let mut tour = guide.start(options, &[]);
    object_model(&mut tour);
    plugging(&mut tour);
    character_devices(&mut tour);
    network(&mut tour);
    virtio(&mut tour);
}

fn object_model(tour: &mut Tour<'_>) {
    tour.run(QomList::new("/machine/peripheral"));
    tour.run(QomGet::new("/machine", "type"));
    tour.run(QomListGet::new(["/machine/peripheral/nic0"]));
    tour.run(QomListTypes::new().implements("rng-backend").abstract_(false));
    tour.run(QomListProperties::new("memory-backend-ram"));
    let properties = tour.run(DeviceListProperties::new("virtio-blk-pci")).unwrap();
    assert!(properties.iter().any(|property| property.name == "drive"));

    let secret = SecretProperties::new().data("letmein1");
    tour.run(ObjectAdd::new(ObjectOptions::new(secret, "secret0")));
    let rng = ObjectOptionsQomType::RngBuiltin(RngProperties::new());
    tour.run(ObjectAdd::new(ObjectOptions::new(rng, "rng0")));
    tour.run(QomSet::new("/objects/io0", "poll-max-ns", json!(1000)));
    tour.run(ObjectDel::new("secret0"));
}

/// Removes devices that need no cooperation of the guest.
fn plugging(tour: &mut Tour<'_>) {
    tour.run(DeviceAdd::new("usb-tablet").id("tablet").bus("xhci.0"));
    tour.run(QueryPci::new());
    tour.run(DeviceDel::new("tablet"));
    let deleted = tour.event(|event: &DeviceDeleted| event.device.as_deref() == Some("tablet"));
    assert!(deleted.path.contains("tablet"));
    tour.run(DeviceAdd::new("usb-mouse").id("mouse").property("port", "1"));
    tour.run(DeviceDel::new("mouse"));
    tour.event(|event: &DeviceDeleted| event.device.as_deref() == Some("mouse"));
}

fn character_devices(tour: &mut Tour<'_>) {
    let scratch = scratch();
    let null = || ChardevBackend::Null(ChardevCommonWrapper::new(ChardevCommon::new()));
    let ring = ChardevRingbuf::new().size(64);
    let ring = ChardevBackend::Ringbuf(ChardevRingbufWrapper::new(ring));
    tour.run(ChardevAdd::new("null0", null()));
    tour.run(ChardevAdd::new("ring0", ring));
    tour.run(RingbufWrite::new("ring0", "aGVsbG8=").format(DataFormat::Base64));
    assert_eq!(tour.run(RingbufRead::new("ring0", 64)).unwrap(), "hello");
    tour.run(ChardevChange::new("null0", null()));
    tour.run(ChardevSendBreak::new("null0"));

    let address = UnixSocketAddressWrapper::new(UnixSocketAddress::new(scratch.file("chardev")));
    let socket = ChardevSocket::new(SocketAddressLegacy::Unix(address)).server(true).wait(false);
    let socket = ChardevBackend::Socket(ChardevSocketWrapper::new(socket));
    tour.run(ChardevAdd::new("sock0", socket));
    let mut peer = UnixStream::connect(scratch.file("chardev")).unwrap();
    peer.set_read_timeout(Some(conformance::TIMEOUT)).unwrap();
    tour.run(QueryChardev::new());
    tour.run(QueryChardevBackends::new());
    tour.run(QueryYank::new());
    let instance = YankInstance::Chardev(YankInstanceChardev::new("sock0"));
    tour.run(Yank::new(vec![instance]));
    assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the connection was yanked");
    for id in ["null0", "ring0", "sock0"] {
        tour.run(ChardevRemove::new(id));
    }
}

fn network(tour: &mut Tour<'_>) {
    let scratch = scratch();
    tour.run(NetdevAdd::new(Netdev::new("hub1", NetdevHubPortOptions::new(0))));
    let address = SocketAddress::Unix(UnixSocketAddress::new(scratch.file("net")));
    let server = NetdevStreamOptions::new(address).server(true);
    tour.run(NetdevAdd::new(Netdev::new("server", NetdevType::Stream(server))));
    let peer = connect(&scratch.file("net"));
    tour.event(|event: &NetdevStreamConnected| event.netdev_id == "server");
    drop(peer);
    tour.event(|event: &NetdevStreamDisconnected| event.netdev_id == "server");
    for id in ["hub1", "server"] {
        tour.run(NetdevDel::new(id));
    }
    tour.run(SetLink::new("nic0", false));
    tour.run(QueryRxFilter::new().name("nic0"));
    tour.run(AnnounceSelf::new(50, 550, 2, 50).interfaces(["nic0"]));
    tour.run(QueryRocker::new("sw1"));
    tour.run(QueryRockerPorts::new("sw1"));
    tour.run(QueryRockerOfDpaFlows::new("sw1"));
    tour.run(QueryRockerOfDpaGroups::new("sw1"));
}

fn virtio(tour: &mut Tour<'_>) {
    let devices = tour.run(XQueryVirtio::new()).unwrap_or_default();
    for device in devices {
        let version = tour.session.client().version().qemu;
        if (version.major, version.minor) != (11, 1) {
            // QEMU 11.1 omits a member of its reply, and aborts.
            tour.run(XQueryVirtioStatus::new(device.path.as_str()));
        }
        tour.run(XQueryVirtioQueueStatus::new(device.path.as_str(), 0));
        tour.attempt(XQueryVirtioQueueElement::new(device.path, 0));
    }
}
