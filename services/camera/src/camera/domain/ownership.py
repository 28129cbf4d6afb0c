"""Which cameras a replica looks after."""

from collections.abc import Callable, Collection, Iterable

from mesh.events import Camera, Overload, StreamType


def owns(
    camera: Camera,
    *,
    node: str | None,
    partitions: Collection[int],
    in_doubt: Collection[int] = (),
    partition_of: Callable[[str], int],
) -> bool:
    """Whether a camera is this replica's.

    A camera whose pictures are pushed to a gateway is nobody's here. One with a node belongs to
    that node's replica; any other to the replica that Kafka gave the partition of its key. While
    nobody can tell who has a partition, its last owner goes on with the cameras whose frames must
    not be missed.

    Args:
        camera: The camera.
        node: Name of this replica's node, if it has one.
        partitions: Partitions of `cameras` that are assigned to this replica.
        in_doubt: Partitions that were this replica's when the group fell silent.
        partition_of: The partition of a key of `cameras`.
    """
    if is_pushed(camera):
        return False
    if camera.node is not None:
        return camera.node == node
    partition = partition_of(camera.camera_id)
    unmissable = camera.detection.overload is Overload.ALL
    return partition in partitions or (unmissable and partition in in_doubt)


def is_pushed(camera: Camera) -> bool:
    """Whether browsers or phones push the camera's pictures to a gateway, which is their source."""
    return camera.stream.stream_type is StreamType.WEBSOCKET and not camera.stream.url


def owned(
    cameras: Iterable[Camera],
    *,
    node: str | None,
    partitions: Collection[int],
    in_doubt: Collection[int] = (),
    partition_of: Callable[[str], int],
) -> dict[str, Camera]:
    """The cameras of this replica by id."""
    return {
        camera.camera_id: camera
        for camera in cameras
        if owns(
            camera,
            node=node,
            partitions=partitions,
            in_doubt=in_doubt,
            partition_of=partition_of,
        )
    }
