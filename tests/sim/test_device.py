import pickle

from sim.device import DeviceError


def test_error_passes_between_processes_whole():
    error = pickle.loads(pickle.dumps(DeviceError("illegal in pim[0][3]", "illegal", 7, 3)))
    assert str(error) == "illegal in pim[0][3]"
    assert (error.cause, error.queue, error.index) == ("illegal", 7, 3)
