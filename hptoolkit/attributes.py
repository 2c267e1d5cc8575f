"""Every key under which something is stored in a study or a trial.

optuna-dashboard shows user attributes and hides system attributes: what a person may want to read
is of the former kind, what workers tell each other of the latter.
"""

from __future__ import annotations

# User attributes of a trial.
COORDINATES = "coordinates"  # its coordinates, by axis
SEED = "seed"  # the seed of its training
DATA = "data"  # the images it saw, with a digest
HISTORY = "history"  # its epochs
OWNER = "owner"  # the host and process that run it
PRUNED_REASON = "pruned_reason"  # why it was pruned, or that it diverged
ERROR = "error"  # of a failed one: the exception and where it was raised
IMAGES_PER_SECOND = "images_per_second"
WEIGHTS_LOST = "weights_lost"  # why its weights could not be kept

# User attributes of a study.
DEFINITION = "definition"  # its resolved definition
SAMPLER = "sampler"  # its sampler's name on the command line
SLICE = "slice"  # of a slice: its lattice
OUTCOME = "outcome"  # how its last run ended
GP_REPORT = "gp"  # the seconds that the GP took to choose a trial, and its report at the end
STUDY_UID = "hptoolkit:uid"  # its identity, or what processes propose for it

# System attribute of a study: the version of what hptoolkit keeps with it and its trials.
FORMAT = "hptoolkit:format"

# System attributes of a trial that workers read: the parameters that a sampler chose, written
# before the trial starts; who runs it, and a number that the owner raises meanwhile; who ran it
# before and has gone.
CLAIM = "hptoolkit:params"
PROCESS = "hptoolkit:process"  # in a plain `study.optimize`
LEASE = "hptoolkit:lease"
BEAT = "hptoolkit:beat"
LOST = "hptoolkit:lost"

# System attributes of a trial in which an Optuna sampler was asked for positions: those that lay
# outside the region, what the sampler wrote into its study, the prefix of what it wrote into its
# trial, and, of a trial that has to be asked for again, the numbers of those unfinished then.
REJECTED = "hptoolkit:rejected"
OF_STUDY = "hptoolkit:inner_study"
OF_TRIAL = "hptoolkit:inner:"
REPLAY = "hptoolkit:replay"
