"""What every implementation of a store's file operations promises."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from pipeline.errors import StoreError, StoreUnreadable, StoreUnwritable
from pipeline.store.files import Move

ODD_NAMES = ["a b", "ü", "日本", "%2F", "a%b", "hour=1", "#?&+", "'\"", "-", "~", "new\nline", "a" * 200]


def reading(files):
    return files.read, files.read_with_version, files.opened, files.size


class FilesTests:
    """The claims. A subclass gives these fixtures.

    files: The implementation, where nothing is yet.
    root: The path of the store.
    refusing: A context in which the medium refuses every operation.
    """

    races = 50  # so often several want the same

    def test_what_is_created_is_read_back_whole_and_in_pieces(self, files, root):
        files.create(root / "a", b"content")
        assert files.read(root / "a") == files.read(str(root / "a")) == b"content"
        with files.opened(root / "a") as file:
            assert (file.read(3), file.seek(-2, io.SEEK_END), file.read()) == (b"con", 5, b"nt")

    @pytest.mark.parametrize("kind", [bytes, memoryview, "a file of this machine"])
    @pytest.mark.parametrize("content", [b"", b"\0\r\n\xff", b"x" * 3_000_000])
    def test_any_content_is_kept(self, files, root, tmp_path, kind, content):
        given = self.machine_file(tmp_path, content) if isinstance(kind, str) else kind(content)
        files.create(root / "below" / "folders" / "a", given)
        assert files.read(root / "below" / "folders" / "a") == content
        assert files.size(root / "below" / "folders" / "a") == len(content)

    @pytest.mark.parametrize("name", ODD_NAMES)
    def test_any_name_is_kept(self, files, root, name):
        files.create(root / name / name, b"odd")
        assert files.read(root / name / name) == b"odd"
        assert list(files.list(root)) == list(files.list(root / name)) == [name]
        files.replace([Move(root / name / name, root / f"{name}2" / name)])
        files.delete([root / f"{name}2" / name])
        assert not files.exists(root / f"{name}2" / name)

    def test_what_is_not_there_cannot_be_read(self, files, root):
        for operation in reading(files):
            with pytest.raises(FileNotFoundError):
                operation(root / "none")

    def test_a_file_exists_and_so_does_its_folder(self, files, root):
        files.create(root / "folder" / "a", b"")
        assert files.exists(root / "folder" / "a")
        assert files.exists(str(root / "folder" / "a"))
        assert files.exists(f"{root}/folder/")
        assert not files.exists(f"{root}/folder/a/")
        for none in ("b", "folder/b", "folder/a/b", "fold", "folder/aa"):
            assert not files.exists(root / none)

    def test_a_list_has_the_names_directly_below(self, files, root):
        assert list(files.list(root / "folder")) == []
        for name in ("folder/a", "folder/b", "folder/inner/c", "folder2/d"):
            files.create(root / name, b"")
        assert sorted(files.list(root / "folder")) == ["a", "b", "inner"]
        assert sorted(files.list(str(root / "folder"))) == ["a", "b", "inner"]

    def test_sizes_are_those_of_all_files_below_a_folder(self, files, root):
        assert dict(files.sizes(root / "folder")) == {}
        for name, size in (("folder/a", 0), ("folder/hour=1/part", 3), ("folder2/d", 1)):
            files.create(root / name, b"x" * size)
        assert dict(files.sizes(root / "folder")) == dict(files.sizes(f"{root}/folder")) == {"a": 0, "hour=1/part": 3}

    def test_a_list_may_be_long(self, files, root):
        names = {f"{number:05}" for number in range(1_100)}
        for name in names:
            files.create(root / "folder" / name, b"")
        assert set(files.list(root / "folder")) == names

    @pytest.mark.parametrize("is_on_machine", [False, True])
    def test_a_name_that_is_taken_is_refused_and_what_is_there_is_left(self, files, root, tmp_path, is_on_machine):
        files.create(root / "a", b"first")
        with pytest.raises(FileExistsError):
            files.create(root / "a", self.machine_file(tmp_path, b"2") if is_on_machine else b"2")
        assert files.read(root / "a") == b"first"

    def test_of_several_who_create_one_file_at_once_one_succeeds_and_the_file_is_its_own(self, files, root, tmp_path):
        creators, barrier = 8, Barrier(8)
        mine = [self.machine_file(tmp_path, str(number).encode() * 1000, f"{number}") for number in range(creators)]

        def create(number, name):
            barrier.wait()
            try:
                files.create(root / name, mine[number])
            except FileExistsError:
                return None
            return number

        with ThreadPoolExecutor(creators) as pool:
            for attempt in range(self.races):
                name = f"race-{attempt}"
                (winner,) = set(pool.map(create, range(creators), [name] * creators)) - {None}
                assert files.read(root / name) == mine[winner].read_bytes()

    def test_a_file_that_is_replaced_is_seen_whole_old_or_new(self, files, root):
        contents = [bytes([number]) * 100_000 for number in range(30)]
        files.create(root / "flows" / "a", contents[0])

        def replace():
            for number, content in enumerate(contents[1:]):
                files.create(root / "staging" / str(number), content)
                _, over = files.read_with_version(root / "flows" / "a")
                files.replace([Move(root / "staging" / str(number), root / "flows" / "a", over)])

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(replace)
            seen = []
            while not done.done():
                seen.append(files.read(root / "flows" / "a"))
            done.result()
        assert set(seen) <= set(contents)
        assert seen == sorted(seen)
        assert files.read(root / "flows" / "a") == contents[-1]
        assert list(files.list(root / "staging")) == []

    def test_many_files_move_at_once_into_folders_that_are_not_there_yet(self, files, root):
        moves = [Move(root / "staging" / f"{hour}", root / "flows" / f"hour={hour}" / "part") for hour in range(1, 40)]
        for move in moves:
            files.create(move.source, move.source.name.encode())
        files.sync([move.source for move in moves])
        files.replace(moves)
        assert [files.read(move.target) for move in moves] == [move.source.name.encode() for move in moves]
        assert not any(files.exists(move.source) for move in moves)

    def test_who_has_a_file_open_goes_on_reading_it_whatever_takes_its_place(self, files, root):
        files.create(root / "a", b"old" * 100_000)
        files.create(root / "b", b"new" * 100_000)
        with files.opened(root / "a") as file:
            start = file.read(3)
            files.replace([Move(root / "b", root / "a", files.read_with_version(root / "a")[1])])
            assert start + file.readall() == b"old" * 100_000

    def test_a_file_that_is_deleted_is_gone_and_its_neighbours_are_not(self, files, root):
        for name in ("folder/a", "folder/aa", "other/a"):
            files.create(root / name, b"")
        files.delete([root / "folder" / "a", root / "other" / "a"])
        assert list(files.list(root / "folder")) == ["aa"]
        assert list(files.list(root / "other")) == []

    def test_a_folder_is_deleted_with_all_that_is_in_it(self, files, root):
        for name in ("folder/a", "folder/inner/b", "folder2/c"):
            files.create(root / name, b"")
        files.delete([root / "folder"])
        assert not files.exists(root / "folder" / "inner" / "b")
        assert list(files.list(root)) == ["folder2"]

    def test_to_delete_what_is_gone_does_no_harm(self, files, root):
        files.create(root / "a", b"")
        files.delete([root / "none", root / "no" / "such" / "folder" / "a"])
        files.delete([root / "a"])
        files.delete([root / "a"])

    def test_a_deleted_name_can_be_created_again(self, files, root):
        for content in (b"first", b"second"):
            files.create(root / "a", content)
            assert files.read(root / "a") == content
            files.delete([root / "a"])

    @pytest.mark.parametrize("count", [0, 1, 50])
    def test_any_number_of_files_can_be_synced(self, files, root, count):
        paths = [root / "folder" / str(number) for number in range(count)]
        for path in paths:
            files.create(path, b"content")
        files.sync(paths)
        assert [files.read(path) for path in paths] == [b"content"] * count

    def test_what_the_medium_refuses_is_an_error_of_the_store_with_the_path_in_it(self, files, root, tmp_path, refusing):
        there, new = root / "folder" / "there", root / "folder" / "new"
        mine = self.machine_file(tmp_path, b"mine")
        files.create(there, b"content")
        changes = [
            lambda: files.create(new, b"content"),
            lambda: files.create(new, mine),
            lambda: files.replace([Move(there, new)]),
            lambda: files.delete([there]),
        ]
        if not files.has_versions:  # where they have, what is written is durable
            changes.append(lambda: files.sync([there]))
        looks = [lambda operation=operation: operation(there) for operation in reading(files)]
        looks += [lambda: files.exists(there), lambda: files.list(there.parent), lambda: files.sizes(there.parent)]
        for operations, kind in ((changes, StoreUnwritable), (looks, StoreUnreadable)):
            for operation in operations:
                with refusing(), pytest.raises(StoreError) as refused:
                    operation()
                assert isinstance(refused.value, kind)
                assert str(root) in str(refused.value)
        assert files.read(there) == b"content"

    def machine_file(self, folder: Path, content: bytes, name: str = "machine") -> Path:
        (folder / name).write_bytes(content)
        return folder / name


class VersionedFilesTests(FilesTests):
    """The further claims of an implementation whose files have versions. The fixtures are those of `FilesTests`."""

    def test_the_version_is_that_of_the_content_which_is_read(self, files, root):
        assert files.has_versions
        files.create(root / "a", b"first")
        content, first = files.read_with_version(root / "a")
        assert (content, bool(first)) == (b"first", True)
        assert files.read_with_version(root / "a") == (b"first", first)
        self.put(files, root, b"second", over=first)
        content, second = files.read_with_version(root / "a")
        assert content == b"second"
        assert second != first

    def test_a_file_takes_the_place_of_the_version_alone_over_which_it_was_made(self, files, root):
        files.create(root / "a", b"first")
        _, first = files.read_with_version(root / "a")
        self.put(files, root, b"second", over=first)
        for over in (first, "", "no such version"):
            self.put(files, root, b"third", over=over)
            assert files.read(root / "a") == b"second"

    def test_a_file_that_was_made_over_another_is_not_put_where_nothing_is(self, files, root):
        self.put(files, root, b"new", over="no such version")
        assert not files.exists(root / "a")

    def test_a_file_that_somebody_has_moved_already_does_no_harm(self, files, root):
        self.put(files, root, b"first", over="")
        files.replace([Move(root / "staging" / "new", root / "a")])
        assert files.read(root / "a") == b"first"

    def test_of_several_who_replace_one_version_at_once_one_succeeds(self, files, root):
        files.create(root / "a", b"0")
        with ThreadPoolExecutor(8) as pool:
            for attempt in range(self.races):
                before, over = files.read_with_version(root / "a")
                barrier = Barrier(8)

                def move(number, attempt=attempt, over=over, barrier=barrier):
                    source = root / "staging" / f"{attempt}-{number}"
                    files.create(source, f"{attempt}-{number}".encode())
                    barrier.wait()
                    files.replace([Move(source, root / "a", over)])

                list(pool.map(move, range(8)))
                after, version = files.read_with_version(root / "a")
                assert after.startswith(f"{attempt}-".encode())
                assert (before == after, over == version) == (False, False)
        assert list(files.list(root / "staging")) == []

    def put(self, files, root, content, over):
        files.create(root / "staging" / "new", content)
        files.replace([Move(root / "staging" / "new", root / "a", over)])
        assert not files.exists(root / "staging" / "new")
