"""The 80 classes of COCO (Lin et al., 2014) in the order in which networks give them."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat"),
    *("traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat"),
    *("dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack"),
    *("umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball"),
    *("kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket"),
    *("bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair"),
    *("couch", "potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse"),
    *("remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink"),
    *("refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier"),
    "toothbrush",
)

PERSON = "person"

_OF_TASK: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "person": frozenset({PERSON}),
        "activity": frozenset({PERSON}),
        "vehicle": frozenset({"bicycle", "bus", "car", "motorcycle", "truck"}),
        "object": frozenset(CLASSES),
    }
)


def classes_of(tasks: Iterable[str]) -> frozenset[str]:
    """The classes that the tasks look for; empty if they look for no object."""
    return frozenset().union(*(_OF_TASK.get(task, frozenset()) for task in tasks))
