//! `uptime`: of the machine and the workload. The agent's own is added where it is known.

use narthex_channel::diagnostics::{Field, FieldName, Value};

use super::rounding::whole_seconds;
use crate::trusted_time::BootMillis;
use crate::workload::WorkloadSnapshot;

pub(super) fn read(workload: &WorkloadSnapshot) -> Vec<Field> {
    let machine = Value::Duration(BootMillis::read().0);
    let mut fields = vec![Field::single(FieldName::UptimeMachine, machine)];
    if let Some(running_for) = workload.running_for {
        let duration = Value::Duration(whole_seconds(running_for));
        fields.push(Field::single(FieldName::UptimeWorkload, duration));
    }
    fields
}
