//! The virtual machine itself: run state, CPUs, memory, dumps, statistics and traces.

use qmp_client::qmp::commands::*;
use qmp_client::qmp::events::{DumpCompleted, Powerdown, Reset, Resume, Shutdown, Stop as Stopped};
use qmp_client::qmp::types::{
    CpuModelExpansionType, CpuModelInfo, PanicAction, RebootAction, RunState, ShutdownCause,
    StatsFilter, StatsFilterTarget, WatchdogAction,
};

use crate::stage::{Guide, Tour, scratch};

pub(crate) fn tour(guide: &mut Guide<'_>) {
    let options = "-M pc,accel=tcg -m 32 -smp 1,maxcpus=2 -name tour \
                   -uuid 12345678-1234-5678-1234-567812345678 -device vmgenid,guid=auto \
                   -object iothread,id=io0";
    let mut tour = guide.start(options, &[]);
    identity(&mut tour);
    cpus_and_memory(&mut tour);
    files(&mut tour);
    statistics(&mut tour);
    run_state(&mut tour);
}

fn identity(tour: &mut Tour<'_>) {
    tour.run(QueryVersion::new());
    tour.run(QueryQmpSchema::new());
    assert_eq!(tour.run(QueryName::new()).unwrap().name.as_deref(), Some("tour"));
    assert!(tour.run(QueryUuid::new()).unwrap().uuid.starts_with("12345678"));
    tour.run(QueryCommandLineOptions::new().option("machine"));
    tour.run(QueryMachines::new());
    tour.run(QueryCurrentMachine::new());
    tour.run(QueryTarget::new());
    tour.run(QueryKvm::new());
    tour.run(QueryAccelerators::new());
    tour.run(QueryVmGenerationId::new());
    tour.run(QueryAcpiOspmStatus::new());
    assert_eq!(tour.run(QueryIothreads::new()).unwrap().len(), 1);
    let version = tour.run(HumanMonitorCommand::new("info version")).unwrap();
    assert!(version.contains('.'), "{version}");
    tour.run(QueryReplay::new());
    tour.run(QueryColoStatus::new());
    tour.run(QueryTpmModels::new());
    tour.run(QueryTpmTypes::new());
    tour.run(QueryAudiodevs::new());
}

fn cpus_and_memory(tour: &mut Tour<'_>) {
    assert_eq!(tour.run(QueryCpusFast::new()).unwrap().len(), 1);
    tour.run(QueryHotpluggableCpus::new());
    tour.run(QueryCpuDefinitions::new());
    let model = CpuModelInfo::new("max");
    tour.run(QueryCpuModelExpansion::new(CpuModelExpansionType::Full, model));
    tour.run(QueryMemdev::new());
    assert_eq!(tour.run(QueryMemorySizeSummary::new()).unwrap().base_memory, 32 << 20);
    tour.run(QueryMemoryDevices::new());
    tour.run(XQueryNuma::new());
    tour.run(XQueryRamblock::new());
    tour.run(XQueryIrq::new());
    tour.run(XQueryRoms::new());
    tour.run(XQueryJit::new());
    tour.run(XQueryInterruptControllers::new());
    tour.run(XAccelStats::new());
}

fn files(tour: &mut Tour<'_>) {
    let scratch = scratch();
    tour.run(Memsave::new(0, 4096, scratch.file("virtual")));
    tour.run(Pmemsave::new(0, 4096, scratch.file("physical")));
    assert_eq!(std::fs::metadata(scratch.file("physical")).unwrap().len(), 4096);
    tour.run(QueryDumpGuestMemoryCapability::new());
    let protocol = format!("file:{}", scratch.file("dump"));
    tour.run(DumpGuestMemory::new(false, protocol).detach(true));
    let dumped = tour.event(|_: &DumpCompleted| true);
    assert_eq!(dumped.error, None);
    tour.run(QueryDump::new());
}

fn statistics(tour: &mut Tour<'_>) {
    tour.run(QueryStatsSchemas::new());
    tour.run(QueryStats::new(StatsFilter::new(StatsFilterTarget::Vm)));
    let events = tour.run(TraceEventGetState::new("qmp_*")).unwrap_or_default();
    assert!(!events.is_empty());
    tour.run(TraceEventSetState::new("qmp_job_cancel", false).ignore_unavailable(true));
}

fn run_state(tour: &mut Tour<'_>) {
    tour.run(WatchdogSetAction::new(WatchdogAction::None));
    tour.run(SetAction::new().panic(PanicAction::Pause).reboot(RebootAction::Reset));
    assert_eq!(tour.run(QueryStatus::new()).unwrap().status, RunState::Prelaunch);
    tour.run(Cont::new());
    tour.event(|_: &Resume| true);
    tour.run(InjectNmi::new());
    tour.run(RtcResetReinjection::new());
    tour.run(SystemPowerdown::new());
    tour.event(|_: &Powerdown| true);
    tour.run(Stop::new());
    tour.event(|_: &Stopped| true);
    tour.run(SystemReset::new());
    tour.event(|reset: &Reset| reset.reason == ShutdownCause::HostQmpSystemReset);
    tour.run(Quit::new());
    tour.event(|shutdown: &Shutdown| shutdown.reason == ShutdownCause::HostQmpQuit);
}
